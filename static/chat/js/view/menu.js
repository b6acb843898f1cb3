/**
 * Where a menu is put: under what opened it, or above where there is no room; always
 * within the window, and never cut by a list that scrolls.
 */

const GAP = 2;

/**
 * @param {HTMLElement} menu `position: fixed`
 * @param {HTMLElement} opener
 */
export function placeMenu(menu, opener) {
  const { top, bottom, right } = opener.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const room = window.innerHeight - height - GAP;
  const isBelow = bottom + GAP <= room;
  const wished = isBelow ? bottom + GAP : Math.min(top - height - GAP, room);
  menu.style.top = `${Math.max(GAP, wished)}px`;
  menu.style.left = `${Math.max(GAP, right - width)}px`;
}
