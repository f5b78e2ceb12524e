/** A PDF that a library has open. Its methods throw whatever the library does. */
export interface OpenPdf {
  readonly pages: number;
  /** As the document's information dictionary has them. */
  readonly title: string | undefined;
  readonly author: string | undefined;
  readonly created: string | undefined;
  /** @param page 1-based */
  text(page: number): string | Promise<string>;
  close(): void | Promise<void>;
}
