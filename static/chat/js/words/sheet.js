/**
 * Tables as text for spreadsheets.
 */

/** What a spreadsheet would take for a formula, a number aside. */
const FORMULA = /^(?:[=@\t]|[+-](?![\d.,\s]*%?$))/;

/**
 * RFC 4180, for programs that want a mark to read UTF-8. What a model wrote is never a
 * formula: these could send what is in the sheet elsewhere.
 * @param {string[][]} rows
 */
export function csv(rows) {
  const lines = rows.map((row) => row.map(csvCell).join(","));
  return `\ufeff${lines.join("\r\n")}\r\n`;
}

/** @param {string} text */
function csvCell(text) {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * As spreadsheets take it from the clipboard.
 * @param {string[][]} rows
 */
export function tabbed(rows) {
  return rows
    .map((row) => row.map((cell) => cell.replaceAll(/\s+/g, " ")).join("\t"))
    .join("\n");
}
