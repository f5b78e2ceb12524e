/**
 * Every change of a document's state is one atomic script here: state, indexes, epoch, garbage and the progress event change together
 * or not at all. A script decides by the ledger's own fields, never by what the caller believes; one that comes too late answers
 * "superseded" and changes nothing.
 *
 * All scripts take the same keys, all in the slot of the project's hash tag:
 *   KEYS[1] hash    the document
 *   KEYS[2] zset    sources: `source\0documentId`, score 0, for listing by name
 *   KEYS[3] zset    states: `state\0source\0documentId`, score 0, for listing and counting by state
 *   KEYS[4] string  epoch, part of every cache key of the project
 *   KEYS[5] hash    garbage: `documentId:generation` -> chunk count, rows in the vector store that nothing refers to
 *   KEYS[6] string  sequence, makes every generation unique
 *   KEYS[7] prefix of the event streams, completed with the ingest id kept in the document
 *   ARGV[1] documentId
 */
const prelude = `
local doc, id = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function get(field) return redis.call('HGET', doc, field) or '' end
local function emit(ingestId, state, extra)
  if ingestId == '' then return end
  local stream = KEYS[7] .. ingestId
  local args = {'documentId', id, 'source', get('source'), 'state', state, 'bytes', get('bytes')}
  for _, value in ipairs(extra or {}) do args[#args + 1] = value end
  redis.call('XADD', stream, 'MAXLEN', '~', 200000, '*', unpack(args))
  redis.call('EXPIRE', stream, 86400)
end
local function setState(state)
  local old, source = get('state'), get('source')
  if old ~= '' then redis.call('ZREM', KEYS[3], old .. '\\0' .. source .. '\\0' .. id) end
  redis.call('ZADD', KEYS[3], 0, state .. '\\0' .. source .. '\\0' .. id)
  redis.call('HSET', doc, 'state', state, 'updatedAt', now)
end
local function clearFailure()
  redis.call('HDEL', doc, 'errorCode', 'errorMessage', 'errorStage', 'errorRetryable')
end
local function dropRows(generation, chunks)
  if generation ~= '' and tonumber(chunks ~= '' and chunks or '0') > 0 then
    redis.call('HSET', KEYS[5], id .. ':' .. generation, chunks)
  end
end
local function dropPending()
  dropRows(get('pendingGeneration'), get('pendingChunks'))
  redis.call('HSET', doc, 'pendingGeneration', '', 'pendingChunks', '0')
end
local function failureFields(code, message, stage, retryable)
  redis.call('HSET', doc, 'errorCode', code, 'errorMessage', message, 'errorStage', stage, 'errorRetryable', retryable)
end
local function known(source)
  if redis.call('HSETNX', doc, 'source', source) == 1 then redis.call('HSET', doc, 'createdAt', now) end
  redis.call('ZADD', KEYS[2], 0, source .. '\\0' .. id)
end
`;

/**
 * Compares the bytes and pipeline of a source with what the ledger has, and opens a new pending generation where they differ.
 *   ARGV[2] source [3] contentHash [4] fingerprint [5] mediaType [6] bytes [7] origin [8] ingestId [9] force 0|1
 * Returns {outcome, generation}: `added` | `updated` (generation to enqueue), `unchanged`, `failed` (the same bytes failed for good before).
 */
const plan = `${prelude}
local source, content, fingerprint, ingestId = ARGV[2], ARGV[3], ARGV[4], ARGV[8]
local state, pending, live = get('state'), get('pendingGeneration'), get('liveGeneration')
local isLive = live ~= '' and get('liveContentHash') == content and get('liveFingerprint') == fingerprint
local sameAsLast = get('contentHash') == content and get('fingerprint') == fingerprint
known(source)
local outcome = live ~= '' and 'updated' or 'added'
if isLive and ARGV[9] ~= '1' then
  if pending ~= '' then
    emit(get('ingestId'), 'superseded')
    dropPending()
  end
  redis.call('HSET', doc, 'contentHash', content, 'fingerprint', fingerprint, 'bytes', ARGV[6], 'origin', ARGV[7], 'ingestId', ingestId)
  clearFailure()
  local liveState = get('liveChunks') == '0' and 'empty' or 'live'
  if state ~= liveState then setState(liveState) end
  return {'unchanged', live}
end
if pending ~= '' and sameAsLast then
  -- Planned before, perhaps by a run that died before it could enqueue: the same generation again, and the events go to this run.
  if get('ingestId') ~= ingestId then emit(get('ingestId'), 'superseded') end
  redis.call('HSET', doc, 'ingestId', ingestId, 'origin', ARGV[7])
  return {outcome, pending}
end
if (state == 'failed' or state == 'quarantined') and sameAsLast and get('errorRetryable') ~= '1' and ARGV[9] ~= '1' then
  redis.call('HSET', doc, 'ingestId', ingestId)
  return {'failed', ''}
end
if pending ~= '' then
  emit(get('ingestId'), 'superseded')
  dropPending()
end
local sequence = redis.call('INCR', KEYS[6])
local generation = string.sub(redis.sha1hex(content .. ':' .. fingerprint .. ':' .. sequence), 1, 24)
redis.call('HSET', doc, 'contentHash', content, 'fingerprint', fingerprint, 'mediaType', ARGV[5], 'bytes', ARGV[6], 'origin', ARGV[7],
  'ingestId', ingestId, 'pendingGeneration', generation, 'pendingChunks', '0', 'attempts', '0')
clearFailure()
setState('queued')
emit(ingestId, 'queued')
return {outcome, generation}
`;

/**
 * Records a source that cannot become a version at all (too large, unreadable). A live version goes on answering.
 *   ARGV[2] source [3] bytes [4] origin [5] ingestId [6] code [7] message [8] stage [9] retryable 0|1
 */
const reject = `${prelude}
known(ARGV[2])
if get('pendingGeneration') ~= '' then
  emit(get('ingestId'), 'superseded')
  dropPending()
end
redis.call('HSET', doc, 'contentHash', '', 'fingerprint', '', 'bytes', ARGV[3], 'origin', ARGV[4], 'ingestId', ARGV[5])
failureFields(ARGV[6], ARGV[7], ARGV[8], ARGV[9])
setState('failed')
emit(ARGV[5], 'failed', {'code', ARGV[6], 'message', ARGV[7]})
return 1
`;

/**
 * Enters a stage of the pending generation. Rows may be written only after \`chunks\` was recorded here: should the generation be
 * abandoned, its rows are found again by their computable keys.
 *   ARGV[2] generation [3] state [4] chunks, '' = unknown [5] newAttempt 0|1
 * Returns 1, or 0 when superseded.
 */
const advance = `${prelude}
if get('pendingGeneration') ~= ARGV[2] then return 0 end
if ARGV[4] ~= '' then redis.call('HSET', doc, 'pendingChunks', ARGV[4]) end
if ARGV[5] == '1' then redis.call('HINCRBY', doc, 'attempts', 1) end
setState(ARGV[3])
emit(get('ingestId'), ARGV[3], {'chunks', ARGV[4]})
return 1
`;

/**
 * Makes the pending generation the live one: from here on it answers, and the one before does not. The epoch makes every cached
 * answer of the project unreachable.
 *   ARGV[2] generation [3] chunks [4] tokens [5] title [6] metadata JSON [7] timings JSON
 * Returns 1; 0 when superseded; 2 when it was live already (a repeated job).
 */
const switchLive = `${prelude}
local generation, live = ARGV[2], get('liveGeneration')
if get('pendingGeneration') ~= generation then return live == generation and 2 or 0 end
dropRows(live, get('liveChunks'))
redis.call('HDEL', KEYS[5], id .. ':' .. generation)
redis.call('HSET', doc, 'liveGeneration', generation, 'liveChunks', ARGV[3], 'liveTokens', ARGV[4], 'liveContentHash', get('contentHash'),
  'liveFingerprint', get('fingerprint'), 'pendingGeneration', '', 'pendingChunks', '0', 'title', ARGV[5], 'metadata', ARGV[6],
  'timings', ARGV[7], 'liveAt', now)
clearFailure()
local state = ARGV[3] == '0' and 'empty' or 'live'
setState(state)
redis.call('INCR', KEYS[4])
emit(get('ingestId'), state, {'chunks', ARGV[3], 'tokens', ARGV[4]})
return 1
`;

/**
 * Records a failure of the pending generation. A final one ends it (a live version before it goes on answering); otherwise it stays
 * pending and is tried again.
 *   ARGV[2] generation [3] code [4] message [5] stage [6] retryable 0|1 [7] final state, '' = will be tried again
 * Returns 1, or 0 when superseded.
 */
const fail = `${prelude}
if get('pendingGeneration') ~= ARGV[2] then return 0 end
failureFields(ARGV[3], ARGV[4], ARGV[5], ARGV[6])
if ARGV[7] == '' then
  setState('queued')
  emit(get('ingestId'), 'retrying', {'code', ARGV[3], 'message', ARGV[4]})
else
  dropPending()
  setState(ARGV[7])
  emit(get('ingestId'), ARGV[7], {'code', ARGV[3], 'message', ARGV[4]})
end
return 1
`;

/**
 * Deletes a document: no generation of it answers from here on.
 * Returns 1, or 0 when there was none.
 */
const remove = `${prelude}
local state = get('state')
if state == '' or state == 'deleted' then return 0 end
if get('pendingGeneration') ~= '' then emit(get('ingestId'), 'superseded') end
dropPending()
dropRows(get('liveGeneration'), get('liveChunks'))
redis.call('HSET', doc, 'liveGeneration', '', 'liveChunks', '0', 'liveTokens', '0', 'liveContentHash', '', 'liveFingerprint', '', 'contentHash', '')
clearFailure()
redis.call('ZREM', KEYS[2], get('source') .. '\\0' .. id)
setState('deleted')
redis.call('INCR', KEYS[4])
return 1
`;

export const transitions = { plan, reject, advance, switchLive, fail, remove } as const;
