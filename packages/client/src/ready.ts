/** Whether the service at the address, and everything it depends on, answers. It takes no key. */
export async function isServiceReady(url: string, timeoutMs = 2_000): Promise<boolean> {
  try {
    const response = await fetch(new URL("/readyz", url), { signal: AbortSignal.timeout(timeoutMs) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
