import { limits } from "@millrace/core";
import { openEmbedder } from "@millrace/embedding";
import { type Config, environmentWith, exitOnSignal, Lifecycle, type Logger } from "@millrace/runtime";
import { claimRunState, EmbeddedStack, type RunState, removeRunState, writeRunState } from "@millrace/stack";
import { logFolder } from "./background.ts";
import { connectQueueRedis } from "./queue-connection.ts";
import { type ServiceSpec, Supervisor } from "./supervisor.ts";

const stopMsMax = 55_000;
/** What a process's V8 keeps for itself. */
const nodeArguments = {
  // The space for what is new in its heap would grow to 16 MiB in each of two halves when the program is loaded, and stay so, for no time that could be measured.
  query: ["--max-semi-space-size=2"],
  // It has nothing to be quick about.
  dashboard: ["--optimize-for-size"],
  /**
   * What a worker spends on its heap, its compute processes cannot have: garbage is collected in one thread, as in the children, and when the heap is a third larger than
   * what was in use the last time, where V8 would wait for several times that. And code is optimised after four times the usual work: Node 20 knows that setting, later versions
   * have a cheaper compiler before the optimising one, and refuse what they do not know. The space for what is new may grow as V8 likes: 30 MB for a sixth of the worker's time.
   */
  worker: [
    "--single-threaded-gc",
    "--heap-growing-percent=30",
    ...(process.versions.node.startsWith("20.") ? ["--interrupt-budget=270336"] : []),
  ],
};

/** Everything that `millrace up` runs, and the run state that tells other commands about it. */
export class Installation {
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #lifecycle: Lifecycle;
  readonly #stack: EmbeddedStack;
  readonly #supervisors: Supervisor[] = [];
  #state: RunState | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(config: Config, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    this.#lifecycle = new Lifecycle(logger);
    this.#stack = new EmbeddedStack(config, logger);
  }

  /**
   * Resolves when everything is up. Where something cannot start, what was started is stopped again. From here on a signal stops all, the
   * last first: workers, then the services, then the stack, and ends the process.
   * @throws MillraceError `up.already_running`; what the stack and the services throw
   */
  async start(): Promise<RunState> {
    const { home } = this.#config;
    this.#state = await claimRunState(home);
    this.#lifecycle.onClose("run state", async () => {
      await this.#writing;
      await removeRunState(home);
    });
    exitOnSignal(this.#lifecycle, this.#logger, stopMsMax);
    try {
      return await this.#startAll();
    } catch (error) {
      await this.#lifecycle.close();
      throw error;
    }
  }

  async #startAll(): Promise<RunState> {
    const { home, runtime, host, port, dashboardPort, workers } = this.#config;
    this.#lifecycle.onClose("stack", () => this.#stack.close());
    const addresses = await this.#stack.start();
    // Asked here, so that there is one clear error instead of one from each service.
    (await connectQueueRedis(addresses.redisQueueUrl)).disconnect();
    await this.#update(addresses);
    await this.#downloadModel();

    const env = environmentWith({
      REDIS_QUEUE_URL: addresses.redisQueueUrl,
      REDIS_CACHE_URL: addresses.redisCacheUrl,
      MILVUS_ADDRESS: addresses.milvusAddress,
      MILLRACE_HOME: home,
      MILLRACE_RUNTIME: runtime,
    });
    const service = (name: string, app: keyof typeof nodeArguments): ServiceSpec => ({
      name,
      entry: new URL(`../../${app}/dist/main.js`, import.meta.url),
      env,
      nodeArguments: nodeArguments[app],
    });
    // Together, as each loads a model; and the supervisor of the workers last, so that they are stopped first.
    const services = this.#supervisor("services");
    const workerProcesses = this.#supervisor("workers");
    const names = Array.from({ length: workers }, (_, index) => `worker-${index + 1}`);
    await Promise.all([
      services.start(service("query", "query")),
      services.start(service("dashboard", "dashboard")),
      ...names.map((name) => workerProcesses.start(service(name, "worker"))),
    ]);
    this.#lifecycle.onClose("phase", async () => void (await this.#update({ phase: "stopping" })));
    return this.#update({ phase: "ready", queryUrl: `http://${host}:${port}`, dashboardUrl: `http://${host}:${dashboardPort}` });
  }

  /** A model of the hub may take longer to come than a service may take to start, and all of them need it. */
  async #downloadModel(): Promise<void> {
    const { embedder: described } = this.#config;
    if (described?.kind !== "transformers" || !described.remote) return;
    const { model, revision, hub } = described;
    this.#logger.info({ model, revision, hub }, "model.fetching");
    const embedder = openEmbedder(this.#config);
    this.#lifecycle.onClose("model", () => embedder.close());
    await embedder.start(AbortSignal.timeout(limits.modelDownloadMs));
    await embedder.close();
  }

  #supervisor(name: string): Supervisor {
    const supervisor = new Supervisor(logFolder(this.#config), this.#logger, () => void this.#update({}));
    this.#supervisors.push(supervisor);
    this.#lifecycle.onClose(name, () => supervisor.close());
    return supervisor;
  }

  /** One write after the other: the newest state is the last one written. */
  async #update(change: Partial<RunState>): Promise<RunState> {
    const servers = [...this.#stack.pids()].map(([name, pid]) => ({ name, pid }));
    const processes = [...servers, ...this.#supervisors.flatMap((supervisor) => supervisor.pids())];
    const state = { ...(this.#state as RunState), ...change, processes };
    this.#state = state;
    this.#writing = this.#writing
      .then(() => writeRunState(this.#config.home, state))
      .catch((error: unknown) => this.#logger.warn({ err: error }, "run_state.write_failed"));
    await this.#writing;
    return state;
  }
}
