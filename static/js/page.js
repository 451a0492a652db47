// What every page has: copying links, pictures that do not load, times in the reader's own zone, and
// a word when a request fails. Pages work without it.
document.documentElement.classList.add('scripted');

const toast = document.getElementById('toast');
const announcer = document.getElementById('announce');
let toastTimer = 0;

/** Shows a short message for a few seconds; screen readers speak it. @param {string} text */
function say(text) {
  place();
  toast.querySelector('p').textContent = text;
  toast.hidden = false;
  leave();
}

/** An open dialog lies over all that is not in it, and keeps it from screen readers, too. */
function place() {
  const at = document.querySelector('dialog[open]') ?? document.body;
  if (toast.parentNode !== at) at.append(announcer, toast);
}
document.addEventListener('close', place, true);
document.addEventListener('htmx:afterSwap', place); // a dialog's new content takes the place of all in it

const hush = () => { toast.hidden = true; };
const stay = () => clearTimeout(toastTimer);
/** Whoever still reads it, or has the focus in it, keeps it. */
function leave() {
  stay();
  if (!toast.matches(':hover, :focus-within')) toastTimer = setTimeout(hush, 6000);
}
for (const type of ['mouseenter', 'focusin']) toast.addEventListener(type, stay);
for (const type of ['mouseleave', 'focusout']) toast.addEventListener(type, () => setTimeout(leave));
toast.querySelector('button').addEventListener('click', hush);
document.addEventListener('keydown', (e) => { if (e.key === 'Escape') hush(); });
document.addEventListener('skylift:say', (e) => say(/** @type {CustomEvent} */ (e).detail));

/** Tells screen readers what the others see already. @param {string} text */
const announced = (text) => {
  place();
  announcer.textContent = text;
};
document.addEventListener('skylift:announce', (e) => announced(/** @type {CustomEvent} */ (e).detail));

document.addEventListener('click', async (e) => {
  const button = /** @type {Element} */ (e.target).closest('[data-copy]');
  if (button) {
    try {
      await navigator.clipboard.writeText(button.getAttribute('data-copy'));
      button.classList.add('copied'); // for a moment a tick stands in the icon's place
      setTimeout(() => button.classList.remove('copied'), 2000);
      announced('Copied.');
    } catch {
      say('The browser did not allow copying. The link is behind “Open in OneDrive”.');
    }
    return;
  }
  if (/** @type {Element} */ (e.target).closest('[data-bookmarklet]')) {
    e.preventDefault();
    say('Drag the button to your bookmarks bar.');
  }
});

// A thumbnail that is not there leaves the icon behind it. Error events do not bubble: capture.
document.addEventListener('error', (e) => {
  const image = /** @type {Element} */ (e.target);
  if (image.matches?.('.thumb img')) image.classList.add('broken');
}, true);

/** The server's clock in words, as handlers/row.go says it, but in the reader's own time zone. @param {Date} at */
function clock(at) {
  const now = new Date();
  const time = at.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  const day = at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  if (at.toDateString() === now.toDateString()) return time;
  return at.getFullYear() === now.getFullYear() ? `${day}, ${time}` : `${day} ${at.getFullYear()}`;
}
function localTimes() { // each once: a list of hundreds changes hundreds of times
  for (const t of document.querySelectorAll('time[datetime]:not([data-local])')) {
    t.textContent = clock(new Date(t.getAttribute('datetime')));
    t.setAttribute('data-local', '');
  }
}
localTimes();
new MutationObserver(localTimes).observe(document.getElementById('main'), { childList: true, characterData: true, subtree: true });

// The account menu closes like any menu.
document.addEventListener('click', (e) => {
  const menu = document.querySelector('details.who[open]');
  if (menu && !menu.contains(/** @type {Node} */ (e.target))) menu.removeAttribute('open');
});
document.addEventListener('keydown', (e) => {
  const menu = e.key === 'Escape' && document.querySelector('details.who[open]');
  if (!menu) return;
  menu.removeAttribute('open');
  menu.querySelector('summary').focus();
});

// The answer is a whole page; its words for what happened and what to do fit here, too, and the code of a fault of ours.
document.addEventListener('htmx:responseError', (e) => {
  const { status, responseText } = /** @type {CustomEvent} */ (e).detail.xhr;
  if (status === 401) return say('You are signed out. Load the page again to sign in.');
  const page = new DOMParser().parseFromString(responseText, 'text/html');
  const parts = ['main h1', 'main .do', ...(status >= 500 ? ['main .support'] : [])];
  const words = parts.map((part) => page.querySelector(part)?.textContent.trim()).filter(Boolean);
  say(words.join(' ') || 'That did not work. Try again.');
});
document.addEventListener('htmx:sendError', () => say('The server cannot be reached. Try again.'));
