// Layers of a U-Net on one tile, for the vector instructions of WebAssembly (AssemblyScript).
//
// A port of src/cellpose/nets/_convolution.py and _vector_code.py. Features are float32, pixel by pixel, `channels`
// numbers each, row by row; channels are multiples of 8. Arguments are addresses in bytes and lengths in numbers. The
// caller gives all memory; matrices with ROWS rows at a time are read and written a little beyond their last row.
//
// Source of the transforms: Lavin and Gray, Fast algorithms for convolutional neural networks (2016), F(4 x 4, 3 x 3).

const ROWS: i32 = 6; // of a block of sums, two vectors wide: all that the registers hold
const TILES: i32 = 54; // whole blocks, transformed together: their numbers stay in the second cache
const WIDEST: i32 = 8;
const FIRST_CACHE: i32 = 24576; // bytes of it that rows of a matrix may fill
const VECTOR: usize = 16; // bytes

// Forms of a convolution: tiles of 4 x 4 pixels; of 6 x 6, of doubled pixels; of 6 x 6, with fewer products per pixel but
// more of them for a tile that is only partly inside.
const USUAL: i32 = 0;
const DOUBLED: i32 = 1;
const LARGE: i32 = 2;

/** `a * b + c`, rounded once where the instruction is there. */
// @ts-ignore: decorator
@inline
function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

// @ts-ignore: decorator
@inline
function times(factor: f32, a: v128): v128 {
  return f32x4.mul(f32x4.splat(factor), a);
}

/** Six rows, two vectors wide, of `out = start + a @ b`. Steps between rows are in bytes; `b` is one packed block. */
function sumsOfSix(a: usize, aStep: usize, b: usize, length: i32, s0: v128, s1: v128, out: usize, outStep: usize): void {
  let r00 = s0, r01 = s1, r10 = s0, r11 = s1, r20 = s0, r21 = s1, r30 = s0, r31 = s1, r40 = s0, r41 = s1, r50 = s0, r51 = s1;
  let a1 = a + aStep, a2 = a1 + aStep, a3 = a2 + aStep, a4 = a3 + aStep, a5 = a4 + aStep;
  const end = a + (<usize>length << 2);
  while (a < end) {
    let b0 = v128.load(b), b1 = v128.load(b, 16), f: v128;
    f = v128.load32_splat(a);
    r00 = madd(f, b0, r00); r01 = madd(f, b1, r01);
    f = v128.load32_splat(a1);
    r10 = madd(f, b0, r10); r11 = madd(f, b1, r11);
    f = v128.load32_splat(a2);
    r20 = madd(f, b0, r20); r21 = madd(f, b1, r21);
    f = v128.load32_splat(a3);
    r30 = madd(f, b0, r30); r31 = madd(f, b1, r31);
    f = v128.load32_splat(a4);
    r40 = madd(f, b0, r40); r41 = madd(f, b1, r41);
    f = v128.load32_splat(a5);
    r50 = madd(f, b0, r50); r51 = madd(f, b1, r51);
    b0 = v128.load(b, 32); b1 = v128.load(b, 48);
    f = v128.load32_splat(a, 4);
    r00 = madd(f, b0, r00); r01 = madd(f, b1, r01);
    f = v128.load32_splat(a1, 4);
    r10 = madd(f, b0, r10); r11 = madd(f, b1, r11);
    f = v128.load32_splat(a2, 4);
    r20 = madd(f, b0, r20); r21 = madd(f, b1, r21);
    f = v128.load32_splat(a3, 4);
    r30 = madd(f, b0, r30); r31 = madd(f, b1, r31);
    f = v128.load32_splat(a4, 4);
    r40 = madd(f, b0, r40); r41 = madd(f, b1, r41);
    f = v128.load32_splat(a5, 4);
    r50 = madd(f, b0, r50); r51 = madd(f, b1, r51);
    a += 8; a1 += 8; a2 += 8; a3 += 8; a4 += 8; a5 += 8; b += 64;
  }
  v128.store(out, r00); v128.store(out, r01, 16); out += outStep;
  v128.store(out, r10); v128.store(out, r11, 16); out += outStep;
  v128.store(out, r20); v128.store(out, r21, 16); out += outStep;
  v128.store(out, r30); v128.store(out, r31, 16); out += outStep;
  v128.store(out, r40); v128.store(out, r41, 16); out += outStep;
  v128.store(out, r50); v128.store(out, r51, 16);
}

/** As `sumsOfSix`, of five rows. */
function sumsOfFive(a: usize, aStep: usize, b: usize, length: i32, s0: v128, s1: v128, out: usize, outStep: usize): void {
  let r00 = s0, r01 = s1, r10 = s0, r11 = s1, r20 = s0, r21 = s1, r30 = s0, r31 = s1, r40 = s0, r41 = s1;
  let a1 = a + aStep, a2 = a1 + aStep, a3 = a2 + aStep, a4 = a3 + aStep;
  const end = a + (<usize>length << 2);
  while (a < end) {
    let b0 = v128.load(b), b1 = v128.load(b, 16), f: v128;
    f = v128.load32_splat(a);
    r00 = madd(f, b0, r00); r01 = madd(f, b1, r01);
    f = v128.load32_splat(a1);
    r10 = madd(f, b0, r10); r11 = madd(f, b1, r11);
    f = v128.load32_splat(a2);
    r20 = madd(f, b0, r20); r21 = madd(f, b1, r21);
    f = v128.load32_splat(a3);
    r30 = madd(f, b0, r30); r31 = madd(f, b1, r31);
    f = v128.load32_splat(a4);
    r40 = madd(f, b0, r40); r41 = madd(f, b1, r41);
    b0 = v128.load(b, 32); b1 = v128.load(b, 48);
    f = v128.load32_splat(a, 4);
    r00 = madd(f, b0, r00); r01 = madd(f, b1, r01);
    f = v128.load32_splat(a1, 4);
    r10 = madd(f, b0, r10); r11 = madd(f, b1, r11);
    f = v128.load32_splat(a2, 4);
    r20 = madd(f, b0, r20); r21 = madd(f, b1, r21);
    f = v128.load32_splat(a3, 4);
    r30 = madd(f, b0, r30); r31 = madd(f, b1, r31);
    f = v128.load32_splat(a4, 4);
    r40 = madd(f, b0, r40); r41 = madd(f, b1, r41);
    a += 8; a1 += 8; a2 += 8; a3 += 8; a4 += 8; b += 64;
  }
  v128.store(out, r00); v128.store(out, r01, 16); out += outStep;
  v128.store(out, r10); v128.store(out, r11, 16); out += outStep;
  v128.store(out, r20); v128.store(out, r21, 16); out += outStep;
  v128.store(out, r30); v128.store(out, r31, 16); out += outStep;
  v128.store(out, r40); v128.store(out, r41, 16);
}

/**
 * `out = bias + a @ b` of `n` rows, and up to five more. `a` is (n, length), length even; `b` is (length, channels),
 * packed: eight columns after eight; `bias` 0: none.
 *
 * Rows are taken in passes whose numbers stay in the first cache, and shared out among blocks of six and of five.
 */
export function multiply(a: usize, b: usize, bias: usize, out: usize, n: i32, length: i32, channels: i32): void {
  const aStep = <usize>length << 2, outStep = <usize>channels << 2;
  const most = max(ROWS, FIRST_CACHE / (length * ROWS << 2) * ROWS), passes = (n + most - 1) / most;
  for (let pass = 0, first = 0; pass < passes; pass++) {
    const rows = (n - first + passes - pass - 1) / (passes - pass), blocks = (rows + ROWS - 1) / ROWS;
    const fives = min(blocks, blocks * ROWS - rows);
    for (let c = 0; c < channels; c += 8) {
      const at = <usize>c << 2, columns = b + at * length;
      const s0 = bias ? v128.load(bias + at) : f32x4.splat(0), s1 = bias ? v128.load(bias + at, 16) : f32x4.splat(0);
      let from = a + first * aStep, to = out + at + first * outStep;
      for (let block = 0; block < blocks; block++) {
        if (block < fives) sumsOfFive(from, aStep, columns, length, s0, s1, to, outStep);
        else sumsOfSix(from, aStep, columns, length, s0, s1, to, outStep);
        const done = block < fives ? ROWS - 1 : ROWS;
        from += done * aStep;
        to += done * outStep;
      }
    }
    first += rows;
  }
}

// ------------------------------------------------------------------------------------------------------- transforms

/** Six values of a line, `step` bytes apart, as seen from the six points at which polynomials are multiplied. */
// @ts-ignore: decorator
@inline
function inputLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const d0 = v128.load(from), d1 = v128.load(from + step), d2 = v128.load(from + 2 * step);
  const d3 = v128.load(from + 3 * step), d4 = v128.load(from + 4 * step), d5 = v128.load(from + 5 * step);
  const four = f32x4.splat(4), minusFive = f32x4.splat(-5), two = f32x4.splat(2), minusFour = f32x4.splat(-4);
  const even = madd(minusFour, d2, d4), odd = madd(minusFour, d1, d3);
  const low = f32x4.sub(d4, d2), high = times(2, f32x4.sub(d3, d1));
  v128.store(to, madd(four, d0, madd(minusFive, d2, d4)));
  v128.store(to + toStep, f32x4.add(even, odd));
  v128.store(to + 2 * toStep, f32x4.sub(even, odd));
  v128.store(to + 3 * toStep, f32x4.add(low, high));
  v128.store(to + 4 * toStep, f32x4.sub(low, high));
  v128.store(to + 5 * toStep, madd(four, d1, madd(minusFive, d3, d5)));
}

/** A vector for each of 36 points, `plane` bytes apart, from 6 x 6 pixels. */
// @ts-ignore: decorator
@inline
function input(x: usize, column: usize, row: usize, out: usize, plane: usize, room: usize): void {
  for (let k = 0; k < 6; k++) inputLine(x + k * column, row, room + k * VECTOR, 6 * VECTOR);
  for (let y = 0; y < 6; y++) inputLine(room + y * 6 * VECTOR, VECTOR, out + y * 6 * plane, plane);
}

/** Eight values of a line as seen from the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity. */
// @ts-ignore: decorator
@inline
function largeInputLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const d0 = v128.load(from), d1 = v128.load(from + step), d2 = v128.load(from + 2 * step);
  const d3 = v128.load(from + 3 * step), d4 = v128.load(from + 4 * step), d5 = v128.load(from + 5 * step);
  const d6 = v128.load(from + 6 * step), d7 = v128.load(from + 7 * step);
  const middle = f32x4.splat(-4.25), wide = f32x4.splat(5.25), fine = f32x4.splat(0.25), half = f32x4.splat(0.5);
  v128.store(to, madd(wide, f32x4.sub(d4, d2), f32x4.sub(d0, d6)));
  let even = madd(middle, d4, f32x4.add(d2, d6)), odd = madd(middle, d3, f32x4.add(d1, d5));
  v128.store(to + toStep, f32x4.add(even, odd));
  v128.store(to + 2 * toStep, f32x4.sub(even, odd));
  even = madd(f32x4.splat(-1.25), d4, madd(fine, d2, d6));
  odd = madd(f32x4.splat(-2.5), d3, madd(half, d1, f32x4.add(d5, d5)));
  v128.store(to + 3 * toStep, f32x4.add(even, odd));
  v128.store(to + 4 * toStep, f32x4.sub(even, odd));
  even = madd(f32x4.splat(-5), d4, madd(f32x4.splat(4), d2, d6));
  odd = madd(f32x4.splat(-2.5), d3, madd(half, d5, f32x4.add(d1, d1)));
  v128.store(to + 5 * toStep, f32x4.add(even, odd));
  v128.store(to + 6 * toStep, f32x4.sub(even, odd));
  v128.store(to + 7 * toStep, madd(wide, f32x4.sub(d3, d5), f32x4.sub(d7, d1)));
}

/** A vector for each of 64 points, `plane` bytes apart, from 8 x 8 pixels. */
// @ts-ignore: decorator
@inline
function largeInput(x: usize, column: usize, row: usize, out: usize, plane: usize, room: usize): void {
  for (let k = 0; k < 8; k++) largeInputLine(x + k * column, row, room + k * VECTOR, 8 * VECTOR);
  for (let y = 0; y < 8; y++) largeInputLine(room + y * 8 * VECTOR, VECTOR, out + y * 8 * plane, plane);
}

/** Four values of a line, each of which is doubled, as seen from the points 1, 0, -1 and infinity. */
// @ts-ignore: decorator
@inline
function doubledInputLine(from: usize, step: usize, to: usize, toStep: usize): void {
  const d0 = v128.load(from), d1 = v128.load(from + step), d2 = v128.load(from + 2 * step);
  const d3 = v128.load(from + 3 * step);
  v128.store(to, f32x4.add(d1, d2));
  v128.store(to + toStep, f32x4.sub(d0, d2));
  v128.store(to + 2 * toStep, f32x4.sub(d2, d1));
  v128.store(to + 3 * toStep, f32x4.sub(d3, d1));
}

// @ts-ignore: decorator
@inline
function doubledInput(x: usize, column: usize, row: usize, out: usize, plane: usize, room: usize): void {
  for (let k = 0; k < 4; k++) doubledInputLine(x + k * column, row, room + k * VECTOR, 4 * VECTOR);
  for (let y = 0; y < 4; y++) doubledInputLine(room + y * 4 * VECTOR, VECTOR, out + y * 4 * plane, plane);
}

/** Four values of a line from the products at the six points, each put where it belongs. */
// @ts-ignore: decorator
@inline
function outputLine(from: usize, step: usize, base: v128, to: usize, toStep: usize, add: bool): void {
  const m0 = v128.load(from), m1 = v128.load(from + step), m2 = v128.load(from + 2 * step);
  const m3 = v128.load(from + 3 * step), m4 = v128.load(from + 4 * step), m5 = v128.load(from + 5 * step);
  const sum1 = f32x4.add(m1, m2), difference1 = f32x4.sub(m1, m2);
  const sum2 = f32x4.add(m3, m4), difference2 = f32x4.sub(m3, m4);
  put(f32x4.add(m0, f32x4.add(sum1, sum2)), base, to, add);
  put(madd(f32x4.splat(2), difference2, difference1), base, to + toStep, add);
  put(madd(f32x4.splat(4), sum2, sum1), base, to + 2 * toStep, add);
  put(f32x4.add(m5, madd(f32x4.splat(8), difference2, difference1)), base, to + 3 * toStep, add);
}

/** Six values of a line from the products at the eight points. */
// @ts-ignore: decorator
@inline
function largeOutputLine(from: usize, step: usize, base: v128, to: usize, toStep: usize, add: bool): void {
  const m0 = v128.load(from), m1 = v128.load(from + step), m2 = v128.load(from + 2 * step);
  const m3 = v128.load(from + 3 * step), m4 = v128.load(from + 4 * step), m5 = v128.load(from + 5 * step);
  const m6 = v128.load(from + 6 * step), m7 = v128.load(from + 7 * step);
  const sum1 = f32x4.add(m1, m2), sum2 = f32x4.add(m3, m4), sum3 = f32x4.add(m5, m6);
  const odd1 = f32x4.sub(m1, m2), odd2 = f32x4.sub(m3, m4), odd3 = f32x4.sub(m5, m6);
  put(f32x4.add(f32x4.add(m0, sum1), f32x4.add(sum2, sum3)), base, to, add);
  put(madd(f32x4.splat(2), odd2, madd(f32x4.splat(1 / 2), odd3, odd1)), base, to + toStep, add);
  put(madd(f32x4.splat(4), sum2, madd(f32x4.splat(1 / 4), sum3, sum1)), base, to + 2 * toStep, add);
  put(madd(f32x4.splat(8), odd2, madd(f32x4.splat(1 / 8), odd3, odd1)), base, to + 3 * toStep, add);
  put(madd(f32x4.splat(16), sum2, madd(f32x4.splat(1 / 16), sum3, sum1)), base, to + 4 * toStep, add);
  const last = madd(f32x4.splat(32), odd2, madd(f32x4.splat(1 / 32), odd3, odd1));
  put(f32x4.add(last, m7), base, to + 5 * toStep, add);
}

/**
 * Six values of a line from seven products: at 1, which both phases share, and at 0, -1 and infinity of each. A phase
 * are the values before a doubled pixel's middle, or those after it.
 */
// @ts-ignore: decorator
@inline
function doubledOutputLine(from: usize, step: usize, base: v128, to: usize, toStep: usize, add: bool): void {
  const one = v128.load(from);
  for (let phase: usize = 0; phase < 2; phase++) {
    const at = from + (2 - phase) * step, out = to + phase * toStep;
    const zero = v128.load(at), minusOne = v128.load(at + 2 * step), infinity = v128.load(at + 4 * step);
    const both = f32x4.add(one, minusOne);
    put(f32x4.add(zero, both), base, out, add);
    put(f32x4.sub(one, minusOne), base, out + 2 * toStep, add);
    put(f32x4.add(infinity, both), base, out + 4 * toStep, add);
  }
}

/** Write `value + base`, added to what is there where `add`. */
// @ts-ignore: decorator
@inline
function put(value: v128, base: v128, to: usize, add: bool): void {
  const sum = f32x4.add(value, base);
  v128.store(to, add ? f32x4.add(sum, v128.load(to)) : sum);
}

/** 4 x 4 pixels of `out` from 36 products, `plane` bytes apart, and a bias. */
// @ts-ignore: decorator
@inline
function output(m: usize, plane: usize, bias: v128, out: usize, column: usize, row: usize, add: bool, room: usize): void {
  const none = f32x4.splat(0);
  for (let x = 0; x < 6; x++) outputLine(m + x * plane, 6 * plane, none, room + x * VECTOR, 6 * VECTOR, false);
  for (let y = 0; y < 4; y++) outputLine(room + y * 6 * VECTOR, VECTOR, bias, out + y * row, column, add);
}

/** 6 x 6 pixels of `out` from 64 products, `plane` bytes apart, and a bias. */
// @ts-ignore: decorator
@inline
function largeOutput(m: usize, plane: usize, bias: v128, out: usize, column: usize, row: usize, add: bool, room: usize): void {
  const none = f32x4.splat(0);
  for (let x = 0; x < 8; x++) largeOutputLine(m + x * plane, 8 * plane, none, room + x * VECTOR, 8 * VECTOR, false);
  for (let y = 0; y < 6; y++) largeOutputLine(room + y * 8 * VECTOR, VECTOR, bias, out + y * row, column, add);
}

/** 6 x 6 pixels of `out` from 49 products, `plane` bytes apart, and a bias. */
// @ts-ignore: decorator
@inline
function doubledOutput(
  m: usize, plane: usize, bias: v128, out: usize, column: usize, row: usize, add: bool, room: usize,
): void {
  const none = f32x4.splat(0);
  for (let x = 0; x < 7; x++) doubledOutputLine(m + x * plane, 7 * plane, none, room + x * VECTOR, 7 * VECTOR, false);
  for (let y = 0; y < 6; y++) doubledOutputLine(room + y * 7 * VECTOR, VECTOR, bias, out + y * row, column, add);
}

// ----------------------------------------------------------------------------------------------------- convolutions

/**
 * `max(0, scale * x + shift)` in a band whose first pixel is (top, left), pixels `step` bytes apart; zeros outside of
 * `x`.
 */
function fillBand(
  x: usize, rows: i32, columns: i32, channels: i32, scale: usize, shift: usize, top: i32, left: i32, band: usize,
  bandRows: i32, bandColumns: i32, step: usize,
): void {
  const pixel = <usize>channels << 2, zero = f32x4.splat(0);
  const first = max(0, -left), last = min(bandColumns, columns - left);
  for (let r = 0; r < bandRows; r++) {
    const y = top + r, start = band + <usize>(r * bandColumns) * step;
    if (y < 0 || y >= rows) {
      memory.fill(start, 0, <usize>bandColumns * step);
      continue;
    }
    memory.fill(start, 0, <usize>first * step);
    let at = x + <usize>(y * columns + left + first) * pixel, to = start + <usize>first * step;
    for (let k = first; k < last; k++) {
      for (let c: usize = 0; c < pixel; c += VECTOR) {
        const moved = madd(v128.load(at + c), v128.load(scale + c), v128.load(shift + c));
        v128.store(to + c, f32x4.pmax(zero, moved));
      }
      at += pixel;
      to += step;
    }
    memory.fill(start + <usize>last * step, 0, <usize>(bandColumns - last) * step);
  }
}

/** Tiles of what was made to the pixels from (y, x) on; of those that are partly outside only what is inside. */
function placeAll(
  made: usize, plane: usize, n: i32, across: i32, bias: usize, out: usize, rows: i32, columns: i32, channels: i32,
  y: i32, x: i32, form: i32, add: bool, room: usize,
): void {
  const side = form == USUAL ? 4 : 6, pixel = <usize>channels << 2, row = pixel * columns;
  const rest = room + 64 * VECTOR; // a whole tile of one vector
  for (let t = 0; t < n; t++) {
    const top = y + side * (t / across), left = x + side * (t % across);
    const inside = top >= 0 && left >= 0 && top + side <= rows && left + side <= columns;
    for (let c: usize = 0; c < pixel; c += VECTOR) {
      const from = made + t * pixel + c, b = v128.load(bias + c);
      if (inside) {
        const to = out + top * row + left * pixel + c;
        if (form == DOUBLED) doubledOutput(from, plane, b, to, pixel, row, add, room);
        else if (form == LARGE) largeOutput(from, plane, b, to, pixel, row, add, room);
        else output(from, plane, b, to, pixel, row, add, room);
        continue;
      }
      if (form == DOUBLED) doubledOutput(from, plane, b, rest, VECTOR, side * VECTOR, false, room);
      else if (form == LARGE) largeOutput(from, plane, b, rest, VECTOR, side * VECTOR, false, room);
      else output(from, plane, b, rest, VECTOR, side * VECTOR, false, room);
      for (let r = max(0, -top); r < min(side, rows - top); r++) {
        for (let k = max(0, -left); k < min(side, columns - left); k++) {
          const to = out + (top + r) * row + (left + k) * pixel + c, value = v128.load(rest + (r * side + k) * VECTOR);
          v128.store(to, add ? f32x4.add(value, v128.load(to)) : value);
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function pointsOf(form: i32): i32 {
  return form == DOUBLED ? 16 : form == LARGE ? 64 : 36;
}

// @ts-ignore: decorator
@inline
function productsOf(form: i32): i32 {
  return form == DOUBLED ? 49 : pointsOf(form);
}

/** Bytes of room that `convolve` needs for so many channels. */
export function convolveRoom(nIn: i32, nOut: i32, form: i32): usize {
  const step = form == USUAL ? 4 : form == DOUBLED ? 3 : 6;
  const band = (step * TILES + 2) * (step + 2) + 2 * step * step * TILES; // pixels, of any shape of a block
  const seen = pointsOf(form) * (TILES * nIn + 16), made = productsOf(form) * (TILES * nOut + 16);
  return 256 * VECTOR + (<usize>(band * (nIn + 16) + seen + made) << 2);
}

/** The point that sees the features for product `p`: of doubled pixels most are for two products on each axis. */
// @ts-ignore: decorator
@inline
function pointOf(p: i32, form: i32): i32 {
  return form == DOUBLED ? ((p / 7 + 1) >> 1) * 4 + ((p % 7 + 1) >> 1) : p;
}

/**
 * 3 x 3 convolution of `max(0, scale * x + shift)`: by 36 products per tile of 4 x 4 pixels in place of 144, by 64 per
 * tile of 6 x 6 in place of 324, or of an image each pixel of which counts as 2 x 2 by 49 in place of 324.
 *
 * `rows` and `columns` are those of `out`; the kernel is transformed and packed (cpnet.ts); `add`: to what is in `out`.
 */
export function convolve(
  x: usize, rows: i32, columns: i32, nIn: i32, scale: usize, shift: usize, kernel: usize, bias: usize, out: usize,
  nOut: i32, form: i32, add: bool, room: usize,
): void {
  const doubled = form == DOUBLED, side = form == USUAL ? 4 : 6, step = doubled ? 3 : side;
  const margin = doubled ? 1 : 2, before = doubled ? 1 : 0, points = pointsOf(form), products = productsOf(form);
  const xRows = doubled ? rows >> 1 : rows, xColumns = doubled ? columns >> 1 : columns;
  const down = (rows + before + side - 1) / side, across = (columns + before + side - 1) / side;
  const wide = (across + (across + WIDEST - 1) / WIDEST - 1) / ((across + WIDEST - 1) / WIDEST);
  const high = TILES / wide;
  const inBytes = <usize>nIn << 2, outBytes = <usize>nOut << 2;
  const seen = room + 128 * VECTOR;
  // Pixels and planes are no power of two apart: numbers of one place in many would share a few lines of the cache.
  const pixel = inBytes + 4 * VECTOR;
  const seenPlane = TILES * inBytes + 4 * VECTOR, madePlane = TILES * outBytes + 4 * VECTOR;
  const made = seen + points * seenPlane;
  const band = made + products * madePlane;
  for (let top = 0; top < down; top += high) {
    for (let left = 0; left < across; left += wide) {
      const w = min(wide, across - left), h = min(high, down - top), n = w * h;
      const bandColumns = step * w + margin;
      fillBand(
        x, xRows, xColumns, nIn, scale, shift, step * top - 1, step * left - 1, band, step * h + margin, bandColumns, pixel,
      );
      for (let t = 0; t < n; t++) {
        const corner = band + <usize>((t / w) * bandColumns + (t % w)) * step * pixel;
        for (let c: usize = 0; c < inBytes; c += VECTOR) {
          const to = seen + t * inBytes + c;
          if (doubled) doubledInput(corner + c, pixel, bandColumns * pixel, to, seenPlane, room);
          else if (form == LARGE) largeInput(corner + c, pixel, bandColumns * pixel, to, seenPlane, room);
          else input(corner + c, pixel, bandColumns * pixel, to, seenPlane, room);
        }
      }
      for (let p = 0; p < products; p++) {
        const weights = kernel + <usize>p * nIn * outBytes;
        multiply(seen + pointOf(p, form) * seenPlane, weights, 0, made + p * madePlane, n, nIn, nOut);
      }
      placeAll(
        made, madePlane, n, w, bias, out, rows, columns, nOut, side * top - before, side * left - before, form, add,
        room,
      );
    }
  }
}

/**
 * 3 x 3 convolution of the rectified `scale * x + shift` with few channels. The kernel is (9 * nIn, nOut), packed;
 * `room` is for a framed image and the pixels around those of a row.
 */
export function convolvePoints(
  x: usize, rows: i32, columns: i32, nIn: i32, scale: usize, shift: usize, kernel: usize, bias: usize, out: usize,
  nOut: i32, room: usize,
): void {
  const line = 3 * nIn, step = (columns + 2) * nIn, framed = room, around = room + (<usize>((rows + 2) * step) << 2);
  memory.fill(framed, 0, <usize>((rows + 2) * step) << 2);
  for (let y = 0; y < rows; y++) {
    for (let k = 0; k < columns * nIn; k++) {
      const at = <usize>(y * columns * nIn + k) << 2, c = <usize>(k % nIn) << 2;
      const moved = load<f32>(x + at) * load<f32>(scale + c) + load<f32>(shift + c);
      store<f32>(framed + (<usize>((y + 1) * step + nIn + k) << 2), max<f32>(0, moved));
    }
  }
  for (let y = 0; y < rows; y++) {
    let to = around;
    for (let k = 0; k < columns; k++) {
      for (let dy = 0; dy < 3; dy++) {
        memory.copy(to, framed + (<usize>((y + dy) * step + k * nIn) << 2), <usize>line << 2);
        to += <usize>line << 2;
      }
    }
    multiply(around, kernel, bias, out + (<usize>(y * columns * nOut) << 2), columns, 3 * line, nOut);
  }
}

// ----------------------------------------------------------------------------------------------------- other layers

/** The largest of each 2 x 2 pixels; `rows` and `columns` are those of `out`. */
export function halve(x: usize, rows: i32, columns: i32, channels: i32, out: usize): void {
  const pixel = <usize>channels << 2, row = 2 * columns * pixel;
  for (let y = 0; y < rows; y++) {
    for (let k = 0; k < columns; k++) {
      const at = x + 2 * y * row + 2 * k * pixel, to = out + <usize>(y * columns + k) * pixel;
      for (let c: usize = 0; c < pixel; c += VECTOR) {
        const above = f32x4.pmax(v128.load(at + c), v128.load(at + pixel + c));
        const below = f32x4.pmax(v128.load(at + row + c), v128.load(at + row + pixel + c));
        v128.store(to + c, f32x4.pmax(above, below));
      }
    }
  }
}

/** Each pixel four times; `rows` and `columns` are those of `out`. */
export function double(x: usize, rows: i32, columns: i32, channels: i32, out: usize): void {
  const pixel = <usize>channels << 2;
  for (let y = 0; y < rows; y++) {
    for (let k = 0; k < columns; k++) {
      memory.copy(
        out + <usize>(y * columns + k) * pixel, x + <usize>((y >> 1) * (columns >> 1) + (k >> 1)) * pixel, pixel,
      );
    }
  }
}

/** Mean of each channel over `n` pixels. */
export function means(x: usize, n: i32, channels: i32, out: usize): void {
  for (let c = 0; c < channels; c++) {
    let sum: f64 = 0;
    for (let p = 0; p < n; p++) sum += <f64>load<f32>(x + (<usize>(p * channels + c) << 2));
    store<f32>(out + (<usize>c << 2), <f32>(sum / <f64>n));
  }
}

/** `max(0, scale * x + shift)` of `n` pixels. */
export function activate(x: usize, n: i32, channels: i32, scale: usize, shift: usize, out: usize): void {
  fillBand(x, 1, n, channels, scale, shift, 0, 0, out, 1, n, <usize>channels << 2);
}
