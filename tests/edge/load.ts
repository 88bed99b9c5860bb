// Owns the clients of the load test: so many at a time, for so long, each with keep-alive; and how long answers took.
import { Agent, request } from "node:http";

/** What a load test found. */
export interface Load {
  requests: number;
  /** Answers that were not 200, or not the expected bytes; and why requests failed, with how often. */
  failures: Map<string, number>;
  seconds: number;
  /** Milliseconds from the request to the last byte of its answer, ascending. */
  times: Float64Array;
}

/** What clients send, and what has to come back. */
export interface Shot {
  url: string;
  headers: Record<string, string>;
  body: Uint8Array;
  /** Length of the right answer in bytes. */
  answerLength: number;
}

/** Runs `clients` at a time for `seconds`; calls `each` every second. */
export async function load(
  shots: readonly Shot[],
  clients: number,
  seconds: number,
  each: () => void,
): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const failures = new Map<string, number>();
  const times: number[] = [];
  const began = performance.now();
  const until = began + 1000 * seconds;
  const timer = setInterval(each, 1000);
  const client = async (number: number): Promise<void> => {
    for (let i = number; performance.now() < until; i++) {
      const shot = shots[i % shots.length];
      const start = performance.now();
      const problem = await shoot(agent, shot);
      times.push(performance.now() - start);
      if (problem !== undefined) failures.set(problem, (failures.get(problem) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  clearInterval(timer);
  agent.destroy();
  return {
    requests: times.length,
    failures,
    seconds: (performance.now() - began) / 1000,
    times: Float64Array.from(times).sort(),
  };
}

/** One request; says what was wrong with its answer. */
function shoot(agent: Agent, { url, headers, body, answerLength }: Shot): Promise<string | undefined> {
  return new Promise((resolve) => {
    const sent = request(url, {
      method: "POST",
      agent,
      headers: { ...headers, "content-length": `${body.length}` },
    });
    sent.on("error", (error) => resolve(error.message));
    sent.on("response", (response) => {
      let length = 0;
      response.on("data", (chunk) => length += chunk.length);
      response.on("error", (error) => resolve(error.message));
      response.on("end", () => {
        if (response.statusCode !== 200) resolve(`status ${response.statusCode}`);
        else resolve(length === answerLength ? undefined : `${length} bytes instead of ${answerLength}`);
      });
    });
    sent.end(body);
  });
}

/** The value that a share of ascending values is not above. */
export function quantile(values: Float64Array, share: number): number {
  return values[Math.min(values.length - 1, Math.floor(share * values.length))];
}
