// Owns the counters that show what a proof met: results by kind, errnos, flags, fallbacks.

/** Counters by name; the name's part before the colon is its group. */
export class Coverage {
  readonly counts: Map<string, number> = new Map();

  /** Counts something. */
  add(name: string, times: number = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + times);
  }

  /** How often it was met. */
  get(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  /** Sum of a group. */
  sum(group: string): number {
    let sum = 0;
    for (const [name, count] of this.counts) if (name.startsWith(`${group}: `)) sum += count;
    return sum;
  }

  /** A line for each group: what was met how often, most often first. */
  toString(): string {
    const groups = new Map<string, [string, number][]>();
    for (const [name, count] of this.counts) {
      const [group, what] = name.split(/: (.*)/s);
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group)!.push([what, count]);
    }
    return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([group, counters]) => {
      const list = counters.sort((a, b) => b[1] - a[1]).map(([what, count]) =>
        `${what} ${count.toLocaleString("en")}`
      );
      return `${group}: ${list.join(", ")}`;
    }).join("\n");
  }
}
