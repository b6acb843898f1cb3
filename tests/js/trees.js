/** What is shown, as plain values that two languages can compare. */

/** @typedef {string | [string, Record<string, string>, ...unknown[]]} Tree */

/**
 * An element as its name, its attributes in order, and its children; a text as itself.
 * @param {Node} node
 * @returns {Tree}
 */
export function treeOf(node) {
  if (!(node instanceof Element)) return node.textContent ?? "";
  const attributes = [...node.attributes].map(({ name, value }) => [name, value]);
  const sorted = Object.fromEntries(attributes.sort());
  return [node.tagName.toLowerCase(), sorted, ...treesOf(node.childNodes)];
}

/**
 * @param {Iterable<Node>} nodes
 * @returns {Tree[]}
 */
export function treesOf(nodes) {
  return [...nodes].map(treeOf).filter((tree) => tree !== "");
}
