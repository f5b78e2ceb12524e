/**
 * Every change of a document's state is one atomic script here: state, indexes, epoch, garbage and the progress event change together
 * or not at all. A script decides by the ledger's own fields, never by what the caller believes; one that comes too late answers
 * "superseded" and changes nothing.
 *
 * All scripts take the same keys, all in the slot of the project's hash tag:
 *   KEYS[1] hash    the document
 *   KEYS[2] zset    sources: `source\0documentId`, score 0, for listing by name
 *   KEYS[3] zset    states: `state\0source\0documentId`, score 0, for listing and counting by state
 *   KEYS[4] string  epoch, part of every cache key of the project: a counter that every change advances; with ":held" behind it,
 *           the epoch that readers are shown instead for a moment, so that bulk ingestion does not empty the caches with every document;
 *           with ":deletions" behind it, how many documents were deleted
 *   KEYS[5] hash    garbage: `documentId:generation` -> chunk count, rows in the vector store that nothing refers to
 *   KEYS[6] string  sequence, makes every generation unique
 *   KEYS[7] prefix of the event streams, completed with the ingest id kept in the document; with ":open" behind it, how many
 *           documents of that ingest are pending
 *   KEYS[8] hash    load: `documents` and `bytes` that are pending, for backpressure
 *   KEYS[9] hash    contents: `contentHash:fingerprint` -> a document that is live with them, whose vectors a copy can use
 *   ARGV[1] documentId
 */
const prelude = `
local doc, id = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function get(field) return redis.call('HGET', doc, field) or '' end
-- In one field, as a stream keeps the names of fields with every entry whose fields are others than the last one's.
local function emit(ingestId, state, told)
  if ingestId == '' then return end
  local stream = KEYS[7] .. ingestId
  local t = told or {}
  local event = {id, get('source'), state, t.chunks or 0, t.done or 0, t.tokens or 0, t.code or '', t.message or ''}
  redis.call('XADD', stream, 'MAXLEN', '~', 200000, '*', 'e', table.concat(event, '\\0'))
  -- Not with every step: a day is long.
  if state ~= 'parsing' and state ~= 'embedding' then redis.call('EXPIRE', stream, 86400) end
end
-- With what else is to be set of the document, so that it is one command.
local function setState(state, ...)
  local old, source = get('state'), get('source')
  if old ~= '' then redis.call('ZREM', KEYS[3], old .. '\\0' .. source .. '\\0' .. id) end
  redis.call('ZADD', KEYS[3], 0, state .. '\\0' .. source .. '\\0' .. id)
  redis.call('HSET', doc, 'state', state, 'updatedAt', now, ...)
end
local function clearFailure()
  redis.call('HDEL', doc, 'errorCode', 'errorMessage', 'errorStage', 'errorRetryable', 'retryAt')
end
local function countOpen(ingestId, change)
  if ingestId == '' then return end
  local key = KEYS[7] .. ingestId .. ':open'
  redis.call('INCRBY', key, change)
  redis.call('EXPIRE', key, 86400)
end
local function isLastOpen(ingestId)
  return ingestId == '' or tonumber(redis.call('GET', KEYS[7] .. ingestId .. ':open') or '0') <= 0
end
-- A pending generation is opened and closed here and nowhere else, so that the counters of the load cannot drift.
local function openPending(generation)
  redis.call('HSET', doc, 'pendingGeneration', generation, 'pendingChunks', '0', 'pendingDone', '0', 'attempts', '0', 'failures', '0', 'pendingBytes', get('bytes'), 'plannedAt', now)
  redis.call('HDEL', doc, 'run', 'stage', 'twin', 'deaths', 'deathPoint', 'crashes', 'crashPoint')
  redis.call('HINCRBY', KEYS[8], 'documents', 1)
  redis.call('HINCRBY', KEYS[8], 'bytes', get('pendingBytes'))
  countOpen(get('ingestId'), 1)
end
local function closePending()
  redis.call('HINCRBY', KEYS[8], 'documents', -1)
  redis.call('HINCRBY', KEYS[8], 'bytes', 0 - tonumber(get('pendingBytes')))
  countOpen(get('ingestId'), -1)
  redis.call('HDEL', doc, 'pendingGeneration', 'pendingChunks', 'pendingDone', 'pendingBytes', 'failures', 'run', 'stage', 'twin', 'deaths', 'deathPoint',
    'crashes', 'crashPoint', 'retryAt')
end
-- Where a run is: work that dies twice at one point dies of itself, work that dies at ever other points only has bad luck.
local function point() return get('stage') .. ':' .. get('pendingDone') end
local function strike(countField, pointField)
  local here = point()
  if get(pointField) == here then return redis.call('HINCRBY', doc, countField, 1) end
  redis.call('HSET', doc, pointField, here, countField, '1')
  return 1
end
-- Readers see the change at once.
local function advanceEpoch()
  redis.call('INCR', KEYS[4])
  redis.call('DEL', KEYS[4] .. ':held')
end
-- Readers see the first change at once and those after it together, when the hold runs out.
local function advanceEpochHeld(holdMs)
  redis.call('SET', KEYS[4] .. ':held', redis.call('INCR', KEYS[4]), 'PX', holdMs, 'NX')
end
local function dropRows(generation, chunks)
  if generation ~= '' and tonumber(chunks ~= '' and chunks or '0') > 0 then
    redis.call('HSET', KEYS[5], id .. ':' .. generation, chunks)
  end
end
local function dropPending()
  if get('pendingGeneration') == '' then return end
  dropRows(get('pendingGeneration'), get('pendingChunks'))
  closePending()
end
local function forgetContent()
  local key = get('liveContentHash') .. ':' .. get('liveFingerprint')
  if redis.call('HGET', KEYS[9], key) == id then redis.call('HDEL', KEYS[9], key) end
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
 *   [10] metadata given by the user, JSON
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
  if get('ingestId') ~= ingestId then
    emit(get('ingestId'), 'superseded')
    countOpen(get('ingestId'), -1)
    countOpen(ingestId, 1)
  end
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
  'ingestId', ingestId, 'givenMetadata', ARGV[10], 'fresh', ARGV[9])
openPending(generation)
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
emit(ARGV[5], 'failed', {code = ARGV[6], message = ARGV[7]})
return 1
`;

/**
 * Begins a run of the pending generation. A run before it that neither ended nor was handed back has died with its worker. After some of those at one
 * point the document is suspected, and begins only alone; so many of them end it, since it would go on killing workers.
 *   ARGV[2] generation [3] run, a name that is not empty [4] deaths at one point at most [5] deaths from which on it is suspected [6] alone 0|1
 * Returns {1 begun, 0 superseded, 2 quarantined now, 3 suspected: not begun; deaths at one point}.
 */
const begin = `${prelude}
if get('pendingGeneration') ~= ARGV[2] then return {0, 0} end
if get('run') ~= '' then
  local deaths = strike('deaths', 'deathPoint')
  if deaths >= tonumber(ARGV[4]) then
    local message = 'Its worker died ' .. deaths .. ' times at the same point (' .. get('stage') .. ')'
    failureFields('worker.died', message, get('stage'), '0')
    dropPending()
    setState('quarantined')
    emit(get('ingestId'), 'quarantined', {code = 'worker.died', message = message})
    return {2, deaths}
  end
end
local deaths = tonumber(get('deaths')) or 0
if deaths >= tonumber(ARGV[5]) and ARGV[6] ~= '1' then
  -- Whoever dies while it waits for its turn does not die of it.
  redis.call('HDEL', doc, 'run')
  setState('queued')
  return {3, deaths}
end
-- Another live document of the same bytes, made in the same way: its vectors may be used.
local twin = redis.call('HGET', KEYS[9], get('contentHash') .. ':' .. get('fingerprint')) or ''
redis.call('HDEL', doc, 'retryAt')
redis.call('HINCRBY', doc, 'attempts', 1)
setState('parsing', 'run', ARGV[3], 'stage', 'parsing', 'twin', twin)
emit(get('ingestId'), 'parsing')
return {1, deaths}
`;

/**
 * Goes on with the pending generation: some more chunks are going to be embedded and written. Rows may be written only after \`chunks\` was recorded
 * here: should the generation be abandoned, its rows are found again by their computable keys.
 *   ARGV[2] generation [3] chunks known so far [4] chunks done so far
 * Returns 1, or 0 when superseded.
 */
const advance = `${prelude}
if get('pendingGeneration') ~= ARGV[2] then return 0 end
-- Never less than a run before wrote: those rows exist too, and must be found again if all this comes to nothing.
local chunks = math.max(tonumber(ARGV[3]), tonumber(get('pendingChunks')))
setState('embedding', 'pendingChunks', chunks, 'pendingDone', ARGV[4], 'stage', 'embedding')
emit(get('ingestId'), 'embedding', {chunks = chunks, done = ARGV[4]})
return 1
`;

/**
 * Hands a run back: the worker stops, and the document is no more to blame than it is done.
 *   ARGV[2] generation
 */
const release = `${prelude}
if get('pendingGeneration') ~= ARGV[2] then return 0 end
redis.call('HDEL', doc, 'run')
setState('queued')
return 1
`;

/**
 * Makes the pending generation the live one: from here on it answers, and the one before does not. The epoch makes every cached
 * answer of the project unreachable: at once for the last document of an ingest, so for every upload; while others of the same ingest
 * are pending, within the hold.
 *   ARGV[2] generation [3] chunks [4] tokens [5] title [6] metadata JSON [7] timings JSON [8] hold in milliseconds
 * Returns 1; 0 when superseded; 2 when it was live already (a repeated job).
 */
const switchLive = `${prelude}
local generation, live = ARGV[2], get('liveGeneration')
if get('pendingGeneration') ~= generation then return live == generation and 2 or 0 end
dropRows(live, get('liveChunks'))
redis.call('HDEL', KEYS[5], id .. ':' .. generation)
forgetContent()
redis.call('HSET', KEYS[9], get('contentHash') .. ':' .. get('fingerprint'), id)
closePending()
clearFailure()
local state = ARGV[3] == '0' and 'empty' or 'live'
setState(state, 'liveGeneration', generation, 'liveChunks', ARGV[3], 'liveTokens', ARGV[4], 'liveContentHash', get('contentHash'),
  'liveFingerprint', get('fingerprint'), 'title', ARGV[5], 'metadata', ARGV[6], 'timings', ARGV[7], 'liveAt', now)
if isLastOpen(get('ingestId')) then advanceEpoch() else advanceEpochHeld(ARGV[8]) end
emit(get('ingestId'), state, {chunks = ARGV[3], tokens = ARGV[4]})
return 1
`;

/**
 * Records a failure of the pending generation. A final one ends it (a live version before it goes on answering); otherwise it stays
 * pending and is tried again.
 *   ARGV[2] generation [3] code [4] message [5] stage [6] retryable 0|1 [7] final state, '' = will be tried again
 *   [8] crashes at one point at most, after which it is quarantined; '' = this was no crash
 *   [9] failures at most [10] first and [11] longest pause before the next try, in milliseconds, doubled each time [12] share of it, 0 to 1
 * Returns {failures of the generation (0 = superseded), milliseconds until the next try (-1 = there is none)}.
 */
const fail = `${prelude}
if get('pendingGeneration') ~= ARGV[2] then return {0, -1} end
local final = ARGV[7]
if ARGV[8] ~= '' and strike('crashes', 'crashPoint') >= tonumber(ARGV[8]) then final = 'quarantined' end
local failures = redis.call('HINCRBY', doc, 'failures', 1)
if final == '' and failures >= tonumber(ARGV[9]) then final = 'failed' end
failureFields(ARGV[3], ARGV[4], ARGV[5], final == 'quarantined' and '0' or ARGV[6])
if final == '' then
  local pause = math.floor(math.min(tonumber(ARGV[10]) * 2 ^ (failures - 1), tonumber(ARGV[11])) * tonumber(ARGV[12]))
  redis.call('HDEL', doc, 'run')
  setState('queued', 'retryAt', now + pause)
  emit(get('ingestId'), 'retrying', {code = ARGV[3], message = ARGV[4]})
  return {failures, pause}
end
dropPending()
setState(final)
emit(get('ingestId'), final, {code = ARGV[3], message = ARGV[4]})
return {failures, -1}
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
forgetContent()
redis.call('HSET', doc, 'liveGeneration', '', 'liveChunks', '0', 'liveTokens', '0', 'liveContentHash', '', 'liveFingerprint', '', 'contentHash', '')
clearFailure()
redis.call('ZREM', KEYS[2], get('source') .. '\\0' .. id)
setState('deleted')
advanceEpoch()
redis.call('INCR', KEYS[4] .. ':deletions')
return 1
`;

export const transitions = { plan, reject, begin, advance, release, switchLive, fail, remove } as const;
