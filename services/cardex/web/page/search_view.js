/**
 * Finds reports by text.
 * @module
 */
import { searchReports } from "./api.js";
import { byId, fill } from "./dom.js";
import { HitList } from "./hits.js";
import { QuestionForm } from "./question.js";
import { word } from "./words.js";

/** The view of a search. */
export class SearchView {
  /**
   * @param {(caseId: string) => void} onCase Called when a case is chosen.
   * @param {(error: Error) => void} onError Called where a search fails.
   */
  constructor(onCase, onError) {
    this.onError = onError;
    this.hits = new HitList(byId("search-hits"), onCase);
    this.form = new QuestionForm(byId("search-question"), () => this.search());
    byId("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
  }

  /** Searches for what stands in the field; the text goes into a body, never into an address. */
  async search() {
    const text = byId("search-text").value;
    const question = text.trim() && this.form.checked();
    if (!question) return;
    this.aborting?.abort();
    this.aborting = new AbortController();
    this.answer = null;
    fill(byId("search-hits"));
    this.form.tell(question.filter);
    byId("search-state").textContent = word("state.searching");
    try {
      this.answer = await searchReports(text, question, this.aborting.signal);
      byId("search-state").textContent = word("search.found", { count: (this.answer.hits ?? []).length });
      this.hits.show(this.answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      byId("search-state").textContent = "";
      this.onError(error);
    }
  }

  /** Shows the hits in the page's language. */
  translate() {
    this.form.translate();
    if (this.answer) this.hits.show(this.answer);
  }
}
