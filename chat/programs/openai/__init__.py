"""OpenAI's API: the site's agents as models, for clients that know only that.

https://platform.openai.com/docs/api-reference
"""
