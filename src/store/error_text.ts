// Owns what errors and URLs look like in messages and names, which users and clients see.

/** A URL's start up to its host and path, and its query; user and password are in no group. */
const URLS = /(https?:\/\/)(?:[^\s/?#@]*@)?([^\s?#()]*)(\?[^\s#()]*)?/gi;

/** `text` without what is secret in its URLs: passwords, and queries, which sign the URLs of object storage. */
export function withoutSecrets(text: string): string {
  return text.replace(
    URLS,
    (_, scheme: string, place: string, query: string | undefined) =>
      `${scheme}${place}${query === undefined ? "" : "?…"}`,
  );
}

/** What an error says, its cause included: `fetch failed` alone tells nothing. What is thrown may be anything. */
export function messageOf(error: unknown): string {
  try {
    if (!(error instanceof Error)) return withoutSecrets(String(error));
    const { cause } = error;
    const why = cause instanceof Error ? cause.message || (cause as { code?: string }).code : undefined;
    const whole = why === undefined || error.message.includes(why) ? error.message : `${error.message}: ${why}`;
    return withoutSecrets(whole);
  } catch {
    return "the store threw what has no text";
  }
}
