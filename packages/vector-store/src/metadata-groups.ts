import type { Metadata, MetadataValue } from "@millrace/core";

/**
 * Metadata is stored grouped by the type of its values: {"author":"Ann","year":2024} becomes {"s":{"author":"Ann"},
 * "n":{"year":2024}}. A path such as metadata["n"]["year"] then exists only where the value is a number, which gives a filter
 * the same meaning everywhere. Stored flat, Lite (Python underneath) finds 1 equal to true and Milvus answers `!=` on
 * a missing or differently typed key in ways that depend on its version.
 */
export type MetadataGroup = "s" | "n" | "b" | "l";

export type GroupedMetadata = { readonly [group in MetadataGroup]?: Readonly<Record<string, MetadataValue>> };

export function groupOf(value: MetadataValue): MetadataGroup {
  switch (typeof value) {
    case "string":
      return "s";
    case "number":
      return "n";
    case "boolean":
      return "b";
    default:
      return "l";
  }
}

export function groupMetadata(metadata: Metadata): GroupedMetadata {
  const groups = new Map<MetadataGroup, [string, MetadataValue][]>();
  for (const [key, value] of Object.entries(metadata)) {
    const group = groupOf(value);
    groups.set(group, [...(groups.get(group) ?? []), [key, value]]);
  }
  // fromEntries defines properties; assignment would treat a key named __proto__ as the prototype.
  return Object.fromEntries([...groups].map(([group, entries]) => [group, Object.fromEntries(entries)]));
}

export function ungroupMetadata(grouped: GroupedMetadata): Metadata {
  return Object.fromEntries(Object.values(grouped).flatMap((group) => Object.entries(group)));
}
