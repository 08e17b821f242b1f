// Browsers refuse workers to pages that are opened from the disk. The search of the site is a worker: here it runs in a
// hidden frame instead. With a server it stays a worker.
window.IFrameWorker = class extends EventTarget {
  constructor(url) {
    super();
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    this.inner = new Promise((ready) => {
      this.frame.addEventListener("load", () => {
        const inner = this.frame.contentWindow;
        inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        inner.importScripts = async (...urls) => {
          for (const one of urls) await this.run(inner, one);
        };
        this.run(inner, url).then(() => ready(inner));
      }, { once: true });
    });
    document.body.appendChild(this.frame);
  }
  run(inner, url) {
    return new Promise((done, failed) => {
      const script = inner.document.createElement("script");
      Object.assign(script, { src: url, onload: done, onerror: failed });
      inner.document.body.appendChild(script);
    });
  }
  postMessage(data) {
    this.inner.then((inner) => inner.dispatchEvent(new inner.MessageEvent("message", { data })));
  }
  terminate() {
    this.frame.remove();
  }
};
if (location.protocol === "file:") window.Worker = window.IFrameWorker;
