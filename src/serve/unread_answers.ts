// Owns UnreadAnswers: a bound on what answers hold that clients have not read to their end.

/** An answer on its way. */
interface Unread {
  bytes: number;
  /** When the client last took some of it. */
  read: number;
  cut(error: Error): void;
}

/**
 * Answers that are streamed hold what they are made of until they are read. Where many clients do not read, those that
 * have not for the longest time lose theirs, so that there is memory for others.
 */
export class UnreadAnswers {
  readonly #limit: number;
  readonly #answers = new Set<Unread>();
  #bytes = 0;

  /** @param limit In bytes. The newest answer is always kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes of those that are on their way. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The same stream, counted until it is read to its end or cancelled; it fails when it had to make room.
   *
   * @param bytes About what it holds.
   */
  hold(stream: ReadableStream<Uint8Array>, bytes: number): ReadableStream<Uint8Array> {
    const reader = stream.getReader();
    const answers = this.#answers;
    const end = (): void => {
      if (answers.delete(answer)) this.#bytes -= bytes;
    };
    let failed: Error | undefined;
    const answer: Unread = {
      bytes,
      read: performance.now(),
      cut: (error) => {
        failed = error;
        end();
        reader.cancel(error).catch(() => {});
      },
    };
    answers.add(answer);
    this.#bytes += bytes;
    while (this.#bytes > this.#limit && answers.size > 1) {
      let oldest = answer;
      for (const one of answers) if (one !== answer && (oldest === answer || one.read < oldest.read)) oldest = one;
      oldest.cut(new Error("the answer was not read while others needed the memory"));
    }
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        answer.read = performance.now();
        try {
          if (failed !== undefined) throw failed;
          const { done, value } = await reader.read();
          if (failed !== undefined) throw failed;
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        end();
      },
      async cancel(reason) {
        end();
        await reader.cancel(reason);
      },
    }, { highWaterMark: 0 });
  }
}
