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
 * Neighbouring texts are one, as where HTML is read, and empty ones none.
 * @param {Iterable<Node>} nodes
 * @returns {Tree[]}
 */
export function treesOf(nodes) {
  /** @type {Tree[]} */
  const trees = [];
  for (const tree of [...nodes].map(treeOf)) {
    const last = trees.at(-1);
    if (typeof tree === "string" && typeof last === "string") trees.pop();
    trees.push(
      typeof tree === "string" && typeof last === "string" ? last + tree : tree,
    );
  }
  return trees.filter((tree) => tree !== "");
}
