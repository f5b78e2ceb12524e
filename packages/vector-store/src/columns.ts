import { DataType } from "./milvus-sdk.ts";
import type { Row } from "./row.ts";

/**
 * Rows as the protocol of Milvus takes them, a list of values for each field. The SDK would make the same of rows; it passes the numbers of a vector through four lists
 * for that, one of them by `Array.flat`, which takes as long as to compute the terms of the text.
 */
export function columnsOf(rows: readonly Row[], dimension: number): readonly object[] {
  return [
    ...texts.map((name) => column(name, DataType.VarChar, { string_data: { data: rows.map((row) => row[name]) } })),
    ...integers.map((name) => column(name, DataType.Int32, { int_data: { data: rows.map((row) => row[name]) } })),
    ...jsons.map((name) => column(name, DataType.JSON, { json_data: { data: rows.map((row) => Buffer.from(JSON.stringify(row[name]))) } })),
    column("ingested_at", DataType.Int64, { long_data: { data: rows.map((row) => row.ingested_at) } }),
    { field_name: "dense", type: DataType.FloatVector, vectors: { dim: dimension, float_vector: { data: numbersOf(rows) } } },
  ];
}

const texts = ["chunk_id", "project", "document_id", "generation", "source", "media_type", "title", "text", "terms"] as const;
const integers = ["ordinal", "span_start", "span_end", "page", "tokens"] as const;
const jsons = ["headings", "metadata"] as const;

function column(name: keyof Row, type: number, scalars: object): object {
  return { field_name: name, type, scalars };
}

function numbersOf(rows: readonly Row[]): number[] {
  const numbers: number[] = [];
  for (const { dense } of rows) for (const number of dense) numbers.push(number);
  return numbers;
}
