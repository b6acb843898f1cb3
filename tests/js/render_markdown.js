/**
 * For tests in Python: reads texts as lines of JSON from its standard input and writes
 * what the page makes of each.
 */

import "./page.js";
import { createInterface } from "node:readline";

const { markdownNodes } = await import("../../static/chat/js/view/markdown/nodes.js");
const { treesOf } = await import("./trees.js");

for await (const line of createInterface({ input: process.stdin })) {
  const trees = treesOf(markdownNodes(JSON.parse(line)));
  process.stdout.write(`${JSON.stringify(trees)}\n`);
}
