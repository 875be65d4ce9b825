/** What the person says about an answer: right, or what it should be; how good it was, and why. Kept on this device (METHODS §8.9). */
import { useState } from 'preact/hooks';
import type { App } from '../app.ts';
import type { RunView } from '../state.ts';
import { visibleLine } from '../text/display.ts';

const ratings = [1, 2, 3, 4, 5] as const;

export function Feedback({ app, run }: { readonly app: App; readonly run: RunView }) {
  const short = run.answer?.short ?? '';
  const confirmed = app.learned.value?.confirmed.find((item) => item.runId === run.id) ?? null;
  const [isCorrecting, setCorrecting] = useState(false);
  const [answer, setAnswer] = useState(short);
  const [rating, setRating] = useState(0);
  const [text, setText] = useState('');
  const [said, setSaid] = useState('');

  const confirm = (right: string): void => {
    void app.correctAnswer(run, right).then((isKept) => {
      setCorrecting(false);
      setSaid(isKept ? 'Kept on this device' : '');
    });
  };

  return (
    <section class="feedback" data-testid="feedback" aria-label="Your word on this answer">
      {confirmed !== null ? (
        <div class="row">
          <p>
            {confirmed.answer === short ? 'You confirmed this answer.' : 'You corrected it: '}
            {confirmed.answer === short ? null : <bdi class="state-entity">{visibleLine(confirmed.answer)}</bdi>}
          </p>
          <button type="button" class="button button-quiet" onClick={() => void app.confirmAnswer(run.id, null)}>
            Withdraw
          </button>
        </div>
      ) : isCorrecting ? (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            if (answer.trim() !== '') confirm(answer.trim());
          }}
        >
          <label class="field-label" for="right-answer">
            The right answer
          </label>
          <input id="right-answer" class="field" type="text" dir="auto" autocomplete="off" maxLength={300} value={answer} onInput={(event) => setAnswer(event.currentTarget.value)} />
          <button type="submit" class="button button-plain" disabled={answer.trim() === ''}>
            Keep it
          </button>
          <button type="button" class="button button-quiet" onClick={() => setCorrecting(false)}>
            Leave it
          </button>
        </form>
      ) : (
        <div class="row">
          <p class="field-label">Is it right?</p>
          {short === '' ? null : (
            <button type="button" class="button button-plain" data-testid="confirm" onClick={() => confirm(short)}>
              Yes
            </button>
          )}
          <button type="button" class="button button-plain" onClick={() => setCorrecting(true)}>
            {short === '' ? 'I know the answer' : 'No, correct it'}
          </button>
        </div>
      )}
      <details class="more">
        <summary>Rate it</summary>
        <form
          class="rating"
          onSubmit={(event) => {
            event.preventDefault();
            if (rating > 0) void app.rateAnswer(run.id, rating, text.trim()).then((isKept) => setSaid(isKept ? 'Kept on this device' : ''));
          }}
        >
          <fieldset class="choices rating-row">
            <legend class="visually-hidden">From 1, useless, to 5, just right</legend>
            {ratings.map((value) => (
              <label key={value} class="option">
                <input type="radio" name="rating" checked={rating === value} onChange={() => setRating(value)} />
                <span>{value === 1 ? '1, useless' : value === 5 ? '5, just right' : value}</span>
              </label>
            ))}
          </fieldset>
          <label class="field-label" for="rating-text">
            In your words
          </label>
          <textarea id="rating-text" class="field" rows={2} dir="auto" maxLength={2000} value={text} onInput={(event) => setText(event.currentTarget.value)} />
          <div class="row">
            <button type="submit" class="button button-plain" disabled={rating === 0}>
              Keep it
            </button>
          </div>
        </form>
      </details>
      <span class="said" role="status">
        {said}
      </span>
    </section>
  );
}
