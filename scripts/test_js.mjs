/**
 * Run the tests of tests/js, and see how much of the page's own JavaScript they run. Fails
 * below the floor. (node --test has thresholds of its own from version 22 on, and this
 * site promises to work with 20.)
 *
 *     npm test
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Percent of lines. It only goes up. What only a browser can run is tested there. */
const FLOOR = 66;

const ROOT = path.resolve(import.meta.dirname, "..");
const TESTS = path.join(ROOT, "tests", "js");
const OWN = path.join(ROOT, "static", "chat", "js");

/** The files in a folder, and in those in it. */
function filesIn(folder) {
  return readdirSync(folder, { recursive: true }).map((name) =>
    path.join(folder, name),
  );
}

/** Run the tests; their exit code. */
function runTests(folder) {
  const tests = filesIn(TESTS).filter((file) => file.endsWith(".test.js"));
  const { status } = spawnSync(process.execPath, ["--test", ...tests], {
    env: { ...process.env, NODE_V8_COVERAGE: folder },
    stdio: "inherit",
  });
  return status ?? 1;
}

/** By file: for each character whether a test ran it. */
function readCoverage(folder) {
  const own = filesIn(OWN).filter((file) => file.endsWith(".js"));
  const files = new Map(own.map((file) => [file, readFileSync(file, "utf8")]));
  const ran = new Map(
    own.map((file) => [file, new Uint8Array(files.get(file).length)]),
  );
  for (const report of filesIn(folder)) {
    for (const { url, functions } of JSON.parse(readFileSync(report, "utf8")).result) {
      const here = url.startsWith("file:") && ran.get(fileURLToPath(url));
      if (here) add(here, functions);
    }
  }
  return own.map((file) => ({ file, text: files.get(file), ran: ran.get(file) }));
}

/** Outer ranges come first, and inner ones know better. */
function add(ran, functions) {
  const here = new Uint8Array(ran.length);
  for (const { startOffset, endOffset, count } of functions.flatMap((f) => f.ranges)) {
    here.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  }
  for (let at = 0; at < ran.length; at += 1) ran[at] |= here[at];
}

/** Lines of code, and those of them that ran. */
function counted({ file, text, ran }) {
  let lines = 0;
  let done = 0;
  let offset = 0;
  for (const line of text.split("\n")) {
    const start = offset + line.search(/\S/);
    offset += line.length + 1;
    if (/^\s*(?:$|\/\/|\/\*|\*)/.test(line)) continue;
    lines += 1;
    done += ran[start] ? 1 : 0;
  }
  return { file: path.relative(OWN, file), lines, done };
}

/** Is enough of it run? */
function isEnough(folder) {
  const rows = readCoverage(folder).map(counted);
  const lines = rows.reduce((sum, row) => sum + row.lines, 0);
  const done = rows.reduce((sum, row) => sum + row.done, 0);
  const percent = Math.floor((done / lines) * 100);
  const never = rows.filter((row) => row.done === 0).map((row) => row.file);
  console.log(`# run by browsers alone: ${never.join(" ")}`);
  console.log(`# lines run: ${percent} % of ${lines}; at least ${FLOOR} %`);
  return percent >= FLOOR;
}

const folder = mkdtempSync(path.join(tmpdir(), "coverage-"));
try {
  const code = runTests(folder);
  process.exitCode = code || (isEnough(folder) ? 0 : 1);
} finally {
  rmSync(folder, { recursive: true });
}
