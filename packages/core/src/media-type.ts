/** Formats that have a parser; the source's extension or the upload's MIME type decides. */
export type MediaType =
  | "text/markdown"
  | "text/plain"
  | "text/html"
  | "text/x-rst"
  | "text/csv"
  | "text/tab-separated-values"
  | "text/x-source"
  | "application/json"
  | "application/jsonl"
  | "application/pdf"
  | "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

interface Format {
  /** Without the dot, lower case. */
  readonly extensions: string;
  /** Other names of the same MIME type. */
  readonly aliases?: string;
}

/** Every format by its media type; lists are separated by spaces. */
const formats: Readonly<Record<MediaType, Format>> = {
  "text/markdown": { extensions: "md markdown mdx", aliases: "text/x-markdown" },
  "text/plain": { extensions: "txt text log tex adoc org" },
  "text/html": { extensions: "html htm xhtml", aliases: "application/xhtml+xml" },
  "text/x-rst": { extensions: "rst rest", aliases: "text/prs.fallenstein.rst text/restructured" },
  "text/csv": { extensions: "csv", aliases: "application/csv" },
  "text/tab-separated-values": { extensions: "tsv tab" },
  "text/x-source": {
    extensions: [
      "ts mts cts tsx js mjs cjs jsx vue svelte astro css scss sass less",
      "py pyi rb php pl pm lua tcl r jl sh bash zsh fish ps1 bat cmd awk",
      "c h cc cpp cxx hh hpp hxx m mm cs fs fsx vb java kt kts scala groovy gradle clj cljs go rs swift dart zig nim d pas",
      "hs ml mli elm erl hrl ex exs lisp el scm rkt v sv vhd asm s sql graphql gql proto thrift sol",
      "yaml yml toml ini cfg conf properties xml xsd xsl xslt svg tf hcl nix cmake mk bib diff patch",
    ].join(" "),
    aliases:
      "text/javascript application/javascript text/css text/xml application/xml application/yaml text/yaml application/toml application/sql text/x-python text/x-c text/x-java-source application/x-sh",
  },
  "application/json": { extensions: "json geojson webmanifest ipynb" },
  "application/jsonl": { extensions: "jsonl ndjson", aliases: "application/x-ndjson application/x-jsonlines" },
  "application/pdf": { extensions: "pdf" },
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": { extensions: "docx" },
};

const byExtension = new Map<string, MediaType>();
const byMime = new Map<string, MediaType>();
for (const [mediaType, { extensions, aliases = "" }] of Object.entries(formats) as [MediaType, Format][]) {
  for (const extension of extensions.split(" ")) byExtension.set(extension, mediaType);
  for (const mime of [mediaType, ...aliases.split(" ")]) byMime.set(mime, mediaType);
}
byMime.delete("");

/** The format of a source by its extension; undefined when no parser knows it. */
export function mediaTypeOf(source: string): MediaType | undefined {
  const extension = /\.([^./\\]+)$/.exec(source)?.[1];
  return extension === undefined ? undefined : byExtension.get(extension.toLowerCase());
}

/** Extensions that have a parser, without the dot. */
export const knownExtensions: readonly string[] = [...byExtension.keys()];

/** Names of the formats. */
export const mediaTypes: readonly MediaType[] = Object.keys(formats) as MediaType[];

/** The format of a MIME type, parameters aside; undefined when no parser knows it. */
export function mediaTypeOfMime(mime: string): MediaType | undefined {
  return byMime.get(mime.split(";")[0]?.trim().toLowerCase() ?? "");
}
