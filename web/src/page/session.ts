/** The worker that segments: started, and its network loaded, when it is first needed. */
import { proxy, type Remote, wrap } from "comlink";
import type { Picture } from "../compute/preparation";
import type { FlowOptions } from "../compute/segment";
import { failure } from "../workers/threads";
import type { Found, MaskOptions, Ready, SegmentWorker, Wanted } from "../workers/segment.worker";

/** Whether an error says that the user has stopped the run. */
export function isCancelled(error: unknown): boolean {
  return error instanceof Error && error.name === "Cancelled";
}

/** What the address of the page asks for, such as `?engine=wasm&threads=1`, to find out what is wrong. */
function wanted(): Wanted {
  const asked = new URLSearchParams(location.search);
  const engine = asked.get("engine");
  const threads = Number(asked.get("threads"));
  return {
    ...(engine === "webgpu" || engine === "wasm" ? { engine } : {}),
    ...(threads >= 1 ? { threads: Math.floor(threads) } : {}),
  };
}

/** Address of the folder of the page. */
const base = (): string => new URL("./", document.baseURI).href;

export class Session {
  private worker: Remote<SegmentWorker> | null = null;
  private loaded: Promise<Ready> | null = null;
  private failed: Promise<never> | null = null;

  private started(): Remote<SegmentWorker> {
    if (!this.worker) {
      const thread = new Worker(new URL("../workers/segment.worker.ts", import.meta.url), { type: "module", name: "segment" });
      this.failed = failure(thread);
      this.failed.catch(() => (this.worker = this.loaded = null)); // a new one is started when it is needed again
      this.worker = wrap<SegmentWorker>(thread);
    }
    return this.worker;
  }

  /** Fetch what a run will need, so that the page works offline. */
  prefetch(): Promise<void> {
    return this.started().prefetch(base());
  }

  /**
   * Load the network, the bundled one if no file is given; once, unless it fails.
   *
   * @param report Called with the fraction of the file that has arrived.
   */
  load(report: (fraction: number) => void, file: ArrayBuffer | null = null): Promise<Ready> {
    if (this.loaded && !file) return this.loaded;
    const before = this.loaded;
    const loading = this.orFailure(this.started().load(file ?? base(), wanted(), proxy(report)));
    this.loaded = loading;
    loading.catch(() => {
      if (this.loaded === loading) this.loaded = before; // the worker keeps the network it had
    });
    return loading;
  }

  /** Segment an image, of which the flows are kept under a number. */
  segment(
    image: number, picture: Picture, options: FlowOptions, masking: MaskOptions, report: (fraction: number) => void,
  ): Promise<Found> {
    const { planes, rows, columns } = picture;
    return this.orFailure(this.started().segment(image, { planes, rows, columns }, options, masking, proxy(report)));
  }

  /** Masks of an image by other thresholds; null: its flows are not kept any more. */
  masks(image: number, masking: MaskOptions): Promise<Found | null> {
    return this.orFailure(this.started().masks(image, masking));
  }

  private orFailure<T>(answer: Promise<T>): Promise<T> {
    return this.failed ? Promise.race([answer, this.failed]) : answer;
  }

  forget(image: number | null): void {
    void this.worker?.forget(image);
  }

  /** End the run that goes on. */
  stop(): void {
    void this.worker?.stop();
  }
}
