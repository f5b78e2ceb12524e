/** While an item is worked on, the next one is being made. */
export async function* prefetched<T>(items: AsyncGenerator<T>): AsyncGenerator<T> {
  for (let coming = items.next(); ; ) {
    const item = await coming;
    if (item.done === true) return;
    coming = items.next();
    coming.catch(() => undefined); // thrown where it is awaited, unless the job ends before
    yield item.value;
  }
}
