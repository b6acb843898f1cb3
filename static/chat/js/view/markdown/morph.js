/**
 * Change nodes into others of nearly the same shape, touching only what differs: text
 * that grows keeps its node, so that nothing flickers and a selection stays.
 */

/**
 * @param {Element} parent
 * @param {Node[]} wanted
 */
export function morphChildren(parent, wanted) {
  wanted.forEach((node, index) => {
    const old = parent.childNodes[index];
    if (!old) parent.append(node);
    else morph(old, node);
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild?.remove();
}

/**
 * @param {ChildNode} old
 * @param {Node} wanted
 */
function morph(old, wanted) {
  if (old instanceof Text && wanted instanceof Text) return morphText(old, wanted.data);
  if (old instanceof Element && wanted instanceof Element && isAlike(old, wanted)) {
    return morphChildren(old, [...wanted.childNodes]);
  }
  old.replaceWith(wanted);
}

/**
 * @param {Text} old
 * @param {string} data
 */
function morphText(old, data) {
  if (old.data === data) return;
  if (data.startsWith(old.data)) old.appendData(data.slice(old.length));
  else old.data = data;
}

/**
 * @param {Element} a
 * @param {Element} b
 */
function isAlike(a, b) {
  return (
    a.tagName === b.tagName &&
    a.attributes.length === b.attributes.length &&
    [...b.attributes].every(({ name, value }) => a.getAttribute(name) === value)
  );
}
