/* A page that was opened from a folder may start no Worker. The theme's search then runs in a hidden frame. */
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      this.inside = this.frame.contentWindow
      window.addEventListener("message", event => {
        if (event.source === this.inside)
          this.dispatchEvent(new MessageEvent("message", { data: event.data }))
      })
      const page = this.frame.contentDocument
      page.open()
      page.write(`<script>
        postMessage = message => parent.dispatchEvent(new MessageEvent("message", { data: message, source: window }))
        importScripts = (...urls) => urls.reduce((done, url) => done.then(() => new Promise((resolve, reject) => {
          const script = document.createElement("script")
          Object.assign(script, { src: url, onload: resolve, onerror: reject })
          document.head.appendChild(script)
        })), Promise.resolve())
      </script><script src="${url}"></script>`)
      page.close()
    }
    postMessage(message) {
      this.inside.dispatchEvent(new MessageEvent("message", { data: message }))
    }
    terminate() {
      this.frame.remove()
    }
  }
