/**
 * Pointers, wheel and keys of a viewer.
 * @module
 */

const CLICK_PX = 5; // a pointer that moves less has clicked
const STEP = 1.3; // by which a key zooms
const PAN = 0.15; // of the view, by which a key moves it

/** A place in CSS pixels from the corner of the viewer.
 * @typedef {{x: number, y: number}} At */

/**
 * What is done with the input.
 * @typedef {object} Actions
 * @property {() => {width: number, height: number}} sides of the viewer.
 * @property {(factor: number, at?: At) => void} zoomBy
 * @property {(scale: number) => void} zoomTo
 * @property {(right: number, down: number) => void} panBy
 * @property {() => void} fit
 * @property {(at: At | null) => void} hover
 * @property {(at: At) => void} click
 */

/**
 * Listen to the input of an element.
 *
 * The wheel and two fingers zoom, a pointer that is dragged moves the image, one that is not clicks. Keys: + - 0 (all) 1
 * (full size), arrows; Enter clicks in the middle.
 * @param {HTMLElement} element
 * @param {Actions} actions
 */
export function listen(element, actions) {
  const at = (/** @type {MouseEvent} */ event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left - element.clientLeft, y: event.clientY - box.top - element.clientTop };
  };
  const pointers = new Pointers(element, actions);
  element.addEventListener("wheel", (event) => wheel(event, at(event), actions), { passive: false });
  element.addEventListener("pointerdown", (event) => pointers.down(event, at(event)));
  element.addEventListener("pointermove", (event) => pointers.move(event, at(event)));
  element.addEventListener("pointerup", (event) => pointers.up(event, at(event), true));
  element.addEventListener("pointercancel", (event) => pointers.up(event, at(event), false));
  element.addEventListener("pointerleave", () => actions.hover(null));
  element.addEventListener("keydown", (event) => key(event, actions));
}

/** Pointers that are down, and how far the first has moved. */
class Pointers {
  /**
   * @param {HTMLElement} element
   * @param {Actions} actions
   */
  constructor(element, actions) {
    this._element = element;
    this._actions = actions;
    /** @type {Map<number, At>} */
    this._down = new Map();
    this._moved = 0;
  }

  /**
   * @param {PointerEvent} event
   * @param {At} at
   */
  down(event, at) {
    if (event.button !== 0 && event.button !== 1) return;
    if (event.pointerType !== "touch") event.preventDefault(); // no selection, no scrolling by the middle button
    this._element.focus({ preventScroll: true });
    this._element.setPointerCapture(event.pointerId);
    this._down.set(event.pointerId, at);
    this._moved = this._down.size === 1 ? 0 : CLICK_PX;
  }

  /**
   * @param {PointerEvent} event
   * @param {At} at
   */
  move(event, at) {
    const before = this._down.get(event.pointerId);
    if (!before) {
      this._actions.hover(at);
      return;
    }
    const other = [...this._down].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const was = Math.hypot(before.x - other.x, before.y - other.y);
      const is = Math.hypot(at.x - other.x, at.y - other.y);
      this._actions.panBy((at.x - before.x) / 2, (at.y - before.y) / 2);
      if (was > 0 && is > 0) this._actions.zoomBy(is / was, { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 });
    } else {
      this._moved += Math.hypot(at.x - before.x, at.y - before.y);
      if (this._moved < CLICK_PX) return; // the first pixels count once it is no click
      this._element.classList.add("is-dragged");
      this._actions.panBy(at.x - before.x, at.y - before.y);
    }
    this._down.set(event.pointerId, at);
  }

  /**
   * @param {PointerEvent} event
   * @param {At} at
   * @param {boolean} ended as the user wanted.
   */
  up(event, at, ended) {
    if (!this._down.delete(event.pointerId)) return;
    if (this._down.size === 0) this._element.classList.remove("is-dragged");
    if (ended && event.button === 0 && this._moved < CLICK_PX) this._actions.click(at);
  }
}

/**
 * @param {WheelEvent} event
 * @param {At} at
 * @param {Actions} actions
 */
function wheel(event, at, actions) {
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode === 1 ? 20 : event.deltaMode === 2 ? 400 : 1);
  const bounded = Math.max(-120, Math.min(120, pixels));
  // two fingers that are spread on a touchpad come as small steps with Ctrl
  actions.zoomBy(Math.exp(-bounded * (event.ctrlKey ? 0.012 : 0.0025)), at);
}

/**
 * @param {KeyboardEvent} event
 * @param {Actions} actions
 */
function key(event, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { width, height } = actions.sides();
  const middle = { x: width / 2, y: height / 2 };
  const move = (/** @type {number} */ right, /** @type {number} */ down) => {
    actions.panBy(PAN * width * right, PAN * height * down);
    actions.hover(middle);
  };
  /** @type {Record<string, () => void>} */
  const keys = {
    "+": () => actions.zoomBy(STEP),
    "=": () => actions.zoomBy(STEP),
    "-": () => actions.zoomBy(1 / STEP),
    0: () => actions.fit(),
    1: () => actions.zoomTo(1),
    ArrowLeft: () => move(1, 0),
    ArrowRight: () => move(-1, 0),
    ArrowUp: () => move(0, 1),
    ArrowDown: () => move(0, -1),
    Enter: () => actions.click(middle),
  };
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}
