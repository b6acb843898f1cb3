// Right after the server-rendered transcript: a reader starts at its end, without a jump
// later. A classic script, for modules run only after the first paint.
{
  const scroller = document.getElementById("scroller");
  if (scroller && !location.hash) scroller.scrollTop = scroller.scrollHeight;
}
