// Owns what differs between platforms and matters to code that runs on all of them.

const { navigator } = globalThis as { navigator?: { userAgent?: string } };

/**
 * Whether what a request began ends with it, without notice: on Workers its fetches are dropped when the client leaves,
 * and code that waits for them never runs on, not even `finally`. What one request waits for must not depend on
 * another there.
 */
export const ENDS_WITH_REQUEST: boolean = navigator?.userAgent === "Cloudflare-Workers";
