/**
 * What somebody has selected stays selected where the nodes under it are replaced by
 * others with the same text.
 */

/** @typedef {{ node: Node, offset: number } | number} End a place; within the root, as so many characters */

/**
 * Call `change`, which replaces nodes in `root` and not what is to be read.
 * @param {Node} root
 * @param {() => void} change
 */
export function keepSelection(root, change) {
  const selection = document.getSelection();
  const ends = selection ? endsIn(root, selection) : [];
  change();
  const [anchor, focus] = ends.map((end) => placeOf(root, end));
  if (anchor && focus) {
    selection?.setBaseAndExtent(anchor.node, anchor.offset, focus.node, focus.offset);
  }
}

/**
 * Where a selection begins and ends; nothing if it does not touch the root.
 * @param {Node} root
 * @param {Selection} selection
 * @returns {End[]}
 */
function endsIn(
  root,
  { isCollapsed, anchorNode, anchorOffset, focusNode, focusOffset },
) {
  if (isCollapsed || !anchorNode || !focusNode) return [];
  if (!root.contains(anchorNode) && !root.contains(focusNode)) return [];
  return [endIn(root, anchorNode, anchorOffset), endIn(root, focusNode, focusOffset)];
}

/**
 * @param {Node} root
 * @param {Node} node
 * @param {number} offset
 * @returns {End}
 */
function endIn(root, node, offset) {
  if (!root.contains(node)) return { node, offset };
  const before = document.createRange();
  before.setStart(root, 0);
  before.setEnd(node, offset);
  return before.toString().length;
}

/**
 * @param {Node} root
 * @param {End} end
 */
function placeOf(root, end) {
  if (typeof end !== "number") return end.node.isConnected ? end : null;
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  let left = end;
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const { length } = /** @type {Text} */ (node);
    if (left <= length) return { node, offset: left };
    left -= length;
  }
  return null;
}
