export { type CacheCounts, SearchCache, type SearchCacheOptions } from "./search-cache.ts";
