// Owns the check of limits that callers give.

/** @throws {RangeError} If one is no number above 0; the message has its name. */
export function checkLimits(limits: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(limits)) {
    if (!(value > 0)) throw new RangeError(`${name} must be a number above 0, not ${value}`);
  }
}
