/** Playing a recording: from a time, a part of it in a loop, at another speed. */

export class Player {
  /** `tell(time, playing)` is called while the sound plays, and whenever its place changes. */
  constructor(address, tell, fail) {
    this.sound = new Audio();
    this.sound.preload = "metadata";
    this.sound.preservesPitch = true;
    this.sound.src = address;
    this.tell = tell;
    this.part = null; // `[start, end]` in seconds: where playing ends, or begins again
    this.loop = false;
    this.frame = 0;
    this.sound.addEventListener("play", () => this.#follow());
    this.sound.addEventListener("pause", () => this.#report());
    this.sound.addEventListener("seeked", () => this.#report());
    this.sound.addEventListener("error", () => fail());
  }

  get time() {
    return this.sound.currentTime;
  }

  get playing() {
    return !this.sound.paused;
  }

  set speed(speed) {
    this.sound.defaultPlaybackRate = speed;
    this.sound.playbackRate = speed;
  }

  /** Go to a time; a sound that plays goes on from there. */
  seek(time) {
    this.part = null;
    this.sound.currentTime = Math.max(0, time);
    this.#report();
  }

  /** Play from a time to the end of the recording. */
  async play(time = this.time) {
    this.seek(time);
    await this.#start();
  }

  /** Play from `start` to `end`; `from` is where to begin the first time. */
  async playPart(start, end, from = start) {
    this.part = [start, end];
    this.sound.currentTime = from;
    await this.#start();
  }

  pause() {
    this.sound.pause();
  }

  close() {
    this.sound.pause();
    cancelAnimationFrame(this.frame);
    this.sound.removeAttribute("src");
    this.sound.load();
  }

  async #start() {
    try {
      await this.sound.play();
    } catch (error) {
      if (error.name !== "AbortError") throw error; // a pause came before the sound began
    }
  }

  #report() {
    this.tell(this.time, this.playing);
  }

  #follow() {
    cancelAnimationFrame(this.frame);
    const step = () => {
      if (this.part && this.time >= this.part[1]) {
        if (this.loop) this.sound.currentTime = this.part[0];
        else {
          this.sound.pause();
          this.sound.currentTime = this.part[1];
          this.part = null;
        }
      }
      this.#report();
      if (this.playing) this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }
}
