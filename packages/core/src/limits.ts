/**
 * Every limit of the system by name, unit last. Limits that an operator may change have their default here and their
 * environment name in `@millrace/runtime`; the rest are properties of the formats and engines underneath.
 */
export const limits = {
  /** Largest accepted source file. */
  documentBytesMax: 256 * 1024 * 1024,
  /** Largest parsed text of one document, in UTF-16 code units. */
  documentCharsMax: 64 * 1024 * 1024,
  documentPagesMax: 20_000,
  /** Pages parsed at once, of formats that have pages: few at first, so that the model soon has something to do; then more where opening the file takes long. */
  parsePagesOfFirstPart: 16,
  parsePagesPerPart: 100,
  parsePagesPerPartMax: 1_000,
  /** Of a zip archive, as docx is one: entries, bytes of what is read once unpacked, and how many times its packed size an entry may have. */
  archiveEntriesMax: 10_000,
  archiveBytesMax: 256 * 1024 * 1024,
  archiveRatioMax: 200,
  /** Wall-clock limit for parsing one document. */
  parseTimeoutMs: 120_000,
  /** Resident memory limit of one parser process. */
  parseMemoryBytesMax: 1_536 * 1024 * 1024,
  chunksPerDocumentMax: 200_000,
  /** Chunks of a document that are embedded and written in one go: what a crash can cost, and what is in memory at once. */
  chunksPerWrite: 32,
  /** An earlier version with more chunks is embedded anew rather than read back. */
  reusedChunksMax: 20_000,
  /** Source bytes of documents that wait or are being processed, all projects together; a producer waits beyond it. */
  queueBytesMax: 4 * 1024 * 1024 * 1024,
  /** What a waiting document counts beside its own bytes: its ledger entry and its job. */
  queueBytesPerDocument: 2 * 1024,
  /** Tokens of one chunk, the model's special tokens included. */
  chunkTokensMax: 256,
  chunkTokensOverlap: 32,
  /** A chunk shorter than this is joined with its neighbour across a heading. */
  chunkTokensMin: 64,
  /** Milvus VARCHAR limit: bytes of UTF-8 on Milvus, characters on Lite. */
  chunkBytesMax: 65_535,
  sourceBytesMax: 1_024,
  titleCharsMax: 512,
  metadataBytesMax: 16 * 1024,
  queryCharsMax: 8_192,
  topKDefault: 10,
  topKMax: 200,
  /** Hits of each of the two searches that are fused, at least. */
  candidatesMin: 100,
  /** So many of them will do where others are of versions that are being written or were replaced: beside an ingest, fetching more would cost four times the search. */
  candidatesEnough: 75,
  /**
   * Rows fetched beyond those asked for at first, for those that turn out to be of replaced or deleted documents, or of such that are not live yet. Few: each costs
   * Milvus Lite some 0.2 ms, of every search in a batch.
   */
  spareRows: 4,
  /** Hits of one document, where documents are grouped. */
  groupSizeMax: 20,
  /** Hits that differ are chosen one after another, from twice as many: beyond this it would hold up other searches. */
  diverseTopKMax: 100,
  /** Hits that may be asked for where they are reranked, and those that are reranked at least. A small cross-encoder takes some 20 ms for each. */
  rerankTopKMax: 50,
  rerankHitsMin: 50,
  /** Chunks before and after a hit on request, and those that its section may have there. */
  neighboursMax: 10,
  sectionChunksMax: 8,
  /** Chunks read around all hits of one search. */
  expandedChunksMax: 1_000,
  filterDepthMax: 8,
  filterConditionsMax: 64,
  /** Values in all conditions of one filter together. */
  filterValuesMax: 256,
  filterValueCharsMax: 512,
  /**
   * One write to the vector store. The Milvus SDK spends about 0.25 ms per row of 384 numbers on the event loop and does not
   * yield: a batch of 1,000 rows blocks it for 200 ms, these at most for some 40 ms, at nearly the same rows per second.
   */
  storeBatchBytesMax: 256 * 1024,
  storeBatchRowsMax: 128,
  requestBodyBytesMax: 64 * 1024,
  /** Texts of one request to /v1/embeddings, and its bytes. */
  embeddingsTextsMax: 256,
  embeddingsBodyBytesMax: 1024 * 1024,
  requestTimeoutMs: 30_000,
  /** A model of the hub may have gigabytes; a download to which nothing has been added for so long is dead. */
  modelDownloadMs: 3_600_000,
  downloadSilenceMs: 600_000,
  /** Documents or chunks in one page of a list. */
  pageSizeMax: 1_000,
  pageSizeDefault: 100,
  searchCacheTtlSeconds: 600,
  /** Life of a cached answer without hits. */
  searchCacheEmptyTtlSeconds: 15,
  /** Answers kept in each query process. */
  searchCacheMemoryBytesMax: 32 * 1024 * 1024,
  /** Waiting queries that are embedded, or searched for in the vector store, in one request. */
  queriesPerBatchMax: 32,
  /** Searches that are computed at once, that wait for it in one query process, and of those of one project. Beyond that they are refused. */
  searchAdmission: { runningMax: 64, waitingMax: 256, waitingPerProjectMax: 128 },
  /** Vectors of queries, kept longer than answers: they do not depend on the content. */
  queryVectorTtlSeconds: 86_400,
  queryVectorMemoryBytesMax: 8 * 1024 * 1024,
  /** How long a version that bulk ingestion made live may be missing from cached answers. */
  epochHoldMs: 1_000,
  /** Sources that an answer is made from, unless the request says another number. */
  askTopKDefault: 8,
  /** Of a key and of a project, in any minute and at a time; 0: no quota. Far above what people ask, and below what a runaway program costs. */
  quotaKey: { requests: 6_000, tokens: 1_000_000, streams: 256, searches: 0 },
  quotaProject: { requests: 12_000, tokens: 4_000_000, streams: 512, searches: 0 },
  /** A stream of a process that was killed counts for so long. */
  streamLeaseMs: 30_000,
  /** Of every quota, what one process allows by a count of its own while Redis is away: four processes together still allow no more than it. */
  quotaLocalShare: 0.25,
  /** How long it is kept what a project used on a day, and days in one answer about it. */
  usageRetentionDays: 400,
  usageDaysMax: 400,
  /** Of one call of a tool over MCP, whose reply goes into a model's window. */
  mcpTopKMax: 50,
  mcpReadChunksDefault: 20,
  mcpReadChunksMax: 100,
  /** Of a chat in OpenAI's form, with the whole conversation in every request. */
  chatBodyBytesMax: 1024 * 1024,
  chatMessagesMax: 512,
  /** A question made to stand alone, and what a model may take to make it. */
  standaloneCharsMax: 1_000,
  standaloneTokensMax: 200,
  standaloneTimeoutMs: 10_000,
  /** What a session remembers, by `estimateTokens`; the oldest turns are forgotten first. */
  sessionTokensMax: 4_000,
  /** Sessions of one key; those unused for longest are forgotten first. */
  sessionsPerKeyMax: 1_000,
  /** A session is forgotten when nothing was asked in it for so long. */
  sessionTtlSeconds: 86_400,
  answerCacheTtlSeconds: 600,
  /** Life of a cached answer of a fallback model: so long at most is a model that was down left alone. */
  provisionalAnswerTtlSeconds: 60,
  /** Cosine similarity by the built-in model from which two questions may be one; `npm run bench -- answer-cache` has the curve. */
  answerSimilarityMin: 0.85,
  /** Questions remembered of those that were answered from the same evidence. */
  similarQuestionsMax: 64,
  /** Longer than for searches: a burst of questions may keep a process busy for a moment, and a miss costs seconds of a model. */
  answerCacheTimeoutMs: 1_000,
  /** Of the passage that a citation quotes. */
  quoteCharsMax: 300,
  /** A model's answer ends here, whatever it goes on to say. */
  answerCharsMax: 64 * 1024,
  /** What a model's server may send for one answer; with the frame around every token it is far more than the answer. */
  llmResponseBytesMax: 16 * 1024 * 1024,
  llmConnectTimeoutMs: 5_000,
  llmFirstTokenTimeoutMs: 30_000,
  llmTotalTimeoutMs: 120_000,
  /** Tokens of a model's window, and of those the answer's. */
  llmContextTokensMax: 8_192,
  llmAnswerTokensMax: 1_024,
  /** Of traces, what waits for the collector; what is more is lost. */
  spansWaitingMax: 8_192,
  /** A comment keeps proxies from closing a stream on which nothing happens. */
  streamHeartbeatMs: 15_000,
  /** A reader that takes nothing for so long is given up. */
  streamStallMsMax: 30_000,
  /** Of a stream, what its reader has not taken yet: more than the longest answer in pieces of usual size. */
  streamWaitingCharsMax: 2 * 1024 * 1024,
  /** Answers that are being streamed by one query process. */
  answerStreamsMax: 256,
  /** Held back of an answer that streams while a link or citation in it is not complete. */
  answerHeldCharsMax: 2_048,
  /** A cache answer that takes longer than this is a miss. */
  cacheTimeoutMs: 50,
} as const;
