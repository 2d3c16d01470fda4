// Reader follows one completion job over NATS WebSocket with nothing but a browser: every event once and in order,
// whenever it begins and however often the connection breaks.
//
// A NATS connection is lines of text, some with a payload of counted bytes. The server sends
//
//   INFO {…}                                      first of all, and when something changes
//   MSG subject sid [reply] bytes                 then the payload and CR LF
//   HMSG subject sid [reply] header-bytes bytes   the same, the payload led by headers; bytes counts both
//   PING, PONG, +OK, -ERR 'text'
//
// and takes
//
//   CONNECT {…}                                   once, as the answer to INFO
//   SUB subject sid
//   PUB subject [reply] bytes                     then the payload and CR LF
//   PONG                                          as the answer to PING
//
// A WebSocket frame may hold any part of that, so bytes are collected until a message is whole.
const finals = ["completed", "failed", "cancelled", "expired"];
const silence = 10_000; // milliseconds without a message before it asks again
const encoder = new TextEncoder(), decoder = new TextDecoder();

export class Reader {
  last = 0; // seq of the latest event: all it takes to resume
  opened = 0; // connections that came about
  failed = 0; // connections that did not, or broke
  refusals = []; // what the server said no to
  done = false; // the final event was there

  #subject; #job; #inbox; #credential; #deliver;
  #socket; #bytes; #quiet;
  #asked = 0; // questions about the past; only the answer to the latest counts
  #held = null; // live events that wait for that answer

  constructor(url, subject, credential, deliver) {
    this.#credential = credential;
    this.#subject = subject;
    this.#job = subject.slice("completions.".length);
    this.#inbox = `rp.${this.#job}.${crypto.getRandomValues(new Uint32Array(4)).join("")}`;
    this.#deliver = deliver;
    this.#connect(url, 0);
  }

  // Whether the past has been read, so that it now listens.
  get ready() { return this.#asked > 0 && this.#held === null; }

  drop() { this.#socket.close(); }

  subscribe(subject, id) { this.#send(`SUB ${subject} ${id}`); }

  publish(subject, text, reply = "") {
    this.#send(`PUB ${subject} ${reply} ${encoder.encode(text).length}\r\n${text}`);
  }

  #send(text) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(encoder.encode(text + "\r\n"));
  }

  #connect(url, tries) {
    const socket = this.#socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.#bytes = new Uint8Array(0);
    socket.onopen = () => { this.opened++; tries = 0; };
    socket.onmessage = ({ data }) => this.#take(new Uint8Array(data));
    socket.onclose = () => {
      clearTimeout(this.#quiet);
      if (this.done) return;
      this.failed++;
      setTimeout(() => this.#connect(url, tries + 1), Math.min(5000, 50 * 2 ** tries));
    };
  }

  #take(more) {
    const all = new Uint8Array(this.#bytes.length + more.length);
    all.set(this.#bytes);
    all.set(more, this.#bytes.length);
    this.#bytes = all;
    while (this.#socket.readyState === WebSocket.OPEN && this.#message());
  }

  // Handles the first message, if it is there as a whole.
  #message() {
    const end = this.#bytes.indexOf(10);
    if (end < 0) return false;
    const words = decoder.decode(this.#bytes.subarray(0, end - 1)).split(" ");
    const counted = words[0] === "MSG" || words[0] === "HMSG";
    const size = counted ? Number(words.at(-1)) : 0, header = words[0] === "HMSG" ? Number(words.at(-2)) : 0;
    const next = end + 1 + (counted ? size + 2 : 0);
    if (this.#bytes.length < next) return false;
    const payload = decoder.decode(this.#bytes.subarray(end + 1 + header, end + 1 + size));
    this.#bytes = this.#bytes.subarray(next);
    this.#handle(words, payload);
    return true;
  }

  #handle(words, payload) {
    switch (words[0]) {
      case "INFO": return this.#greet();
      case "PING": return this.#send("PONG");
      case "-ERR": return this.refusals.push(words.slice(1).join(" "));
      case "MSG": case "HMSG":
        this.#wait();
        if (payload === "") return; // nobody serves replays at the moment
        if (words[1] === this.#subject) return this.#live(JSON.parse(payload));
        return this.#answer(Number(words[1].split(".").pop()), JSON.parse(payload));
    }
  }

  #greet() {
    if (this.#socket.greeted) return;
    this.#socket.greeted = true;
    const who = { jwt: this.#credential, verbose: false, pedantic: false, headers: true, no_responders: true, protocol: 1, lang: "js", version: "1" };
    this.#send(`CONNECT ${JSON.stringify(who)}`);
    this.subscribe(this.#subject, 1);
    this.subscribe(`${this.#inbox}.*`, 2);
    this.#ask();
  }

  #wait() {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#ask(), silence);
  }

  #ask() {
    this.#held ??= [];
    this.#wait();
    this.publish(`replay.${this.#job}`, JSON.stringify({ from: this.last + 1 }), `${this.#inbox}.${++this.#asked}`);
  }

  #answer(question, { events, more }) {
    if (question !== this.#asked || !events) return; // an old answer, or a refusal: silence will ask again
    events.forEach((event) => this.#add(event));
    if (more) return this.#ask();
    const held = this.#held;
    this.#held = null;
    held.forEach((event) => this.#live(event));
  }

  #live(event) {
    if (this.#held) return this.#held.push(event);
    if (event.seq <= this.last + 1) return this.#add(event);
    this.#ask(); // a gap
    this.#held.push(event);
  }

  #add(event) {
    if (event.seq <= this.last) return;
    this.last = event.seq;
    this.#deliver(event);
    if (!finals.includes(event.type)) return;
    this.done = true;
    this.#socket.close();
  }
}
