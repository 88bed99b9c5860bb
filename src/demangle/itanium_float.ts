// Owns floating point literals in mangled C++ names: the value's bits in hexadecimal, written as C's %a does.
import { fail } from "./itanium_cursor.ts";

/** Digits of each type: float, double, the x87 long double. */
const DIGITS: Readonly<Record<string, number>> = { f: 8, d: 16, e: 20 };

/** `digits`, a float `f`, double `d` or long double `e`, high digit first, as a literal with its suffix. */
export function floatLiteral(letter: string, digits: string): string {
  if (digits.length < DIGITS[letter]) fail();
  for (let i = 0; i < digits.length; i++) {
    const c = digits.charCodeAt(i);
    if (!(c >= 0x30 && c <= 0x39) && !(c >= 0x61 && c <= 0x66)) fail();
  }
  const used = digits.slice(0, DIGITS[letter]);
  if (letter === "e") return `${extended(used)}L`;
  const view = new DataView(new ArrayBuffer(8));
  if (letter === "f") view.setUint32(0, parseInt(used, 16));
  else for (let i = 0; i < 8; i++) view.setUint8(i, parseInt(used.slice(2 * i, 2 * i + 2), 16));
  if (letter === "f") view.setFloat64(0, view.getFloat32(0));
  const value = view.getFloat64(0);
  const high = view.getUint32(0);
  const sign = high >>> 31 === 1 ? "-" : "";
  const suffix = letter === "f" ? "f" : "";
  if (Number.isNaN(value)) return `${sign}nan${suffix}`;
  if (!Number.isFinite(value)) return `${sign}inf${suffix}`;
  if (value === 0) return `${sign}0x0p+0${suffix}`;
  const exponent = (high >>> 20) & 0x7ff;
  const fraction = trimZeros(hex(high & 0xfffff, 5) + hex(view.getUint32(4), 8));
  const power = exponent === 0 ? -1022 : exponent - 1023;
  return `${sign}0x${exponent === 0 ? 0 : 1}${fraction === "" ? "" : `.${fraction}`}p${signed(power)}${suffix}`;
}

/** The x87 format: one bit of sign, 15 of exponent, 64 of which the highest is before the point. */
function extended(digits: string): string {
  const high = parseInt(digits.slice(0, 4), 16);
  const sign = high >= 0x8000 ? "-" : "";
  const exponent = high & 0x7fff;
  const first = parseInt(digits[4], 16);
  const rest = trimZeros(digits.slice(5));
  const zero = first === 0 && rest === "";
  if (exponent === 0x7fff) return `${sign}${first === 8 && rest === "" ? "inf" : "nan"}`;
  if (zero && exponent === 0) return `${sign}0x0p+0`;
  // The first digit holds four bits before the point, so the exponent is three less.
  const power = (exponent === 0 ? -16382 : exponent - 16383) - 3;
  return `${sign}0x${first.toString(16)}${rest === "" ? "" : `.${rest}`}p${signed(power)}`;
}

function hex(value: number, width: number): string {
  return value.toString(16).padStart(width, "0");
}

function trimZeros(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits[end - 1] === "0") end--;
  return digits.slice(0, end);
}

function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}
