import assert from "node:assert/strict";
import { test } from "node:test";
import { csv, tabbed } from "../../static/chat/js/words/sheet.js";

test("cells are quoted where they must be, and are never formulas", () => {
  const rows = [
    ["a,b", 'say "x"', "two\nlines", "plain"],
    ["=1+1", "@x", "-5", "-1.5 %", "+49 30", "-cmd|x", "+x"],
  ];
  assert.equal(
    csv(rows),
    '\ufeff"a,b","say ""x""","two\nlines",plain\r\n' +
      "'=1+1,'@x,-5,-1.5 %,+49 30,'-cmd|x,'+x\r\n",
  );
});

test("on the clipboard a cell is one line", () => {
  assert.equal(
    tabbed([
      ["a\tb", "c\nd"],
      ["e", ""],
    ]),
    "a b\tc d\ne\t",
  );
});
