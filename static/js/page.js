// What every page has: copying links, pictures that do not load, and a word when a request fails.
// Pages work without it.
document.documentElement.classList.add('scripted');

const toast = document.getElementById('toast');
let toastTimer = 0;

/** Shows a short message for a few seconds; screen readers speak it. @param {string} text */
function say(text) {
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.hidden = true; }, 6000);
}
document.addEventListener('skylift:say', (e) => say(/** @type {CustomEvent} */ (e).detail));

document.addEventListener('click', async (e) => {
  const button = /** @type {Element} */ (e.target).closest('[data-copy]');
  if (button) {
    try {
      await navigator.clipboard.writeText(button.getAttribute('data-copy'));
      say('Copied.');
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

document.addEventListener('htmx:responseError', (e) => {
  const { status } = /** @type {CustomEvent} */ (e).detail.xhr;
  if (status === 401) say('You are signed out. Load the page again to sign in.');
  else if (status === 409) say('That makes no sense any more: the transfer has moved on.');
  else if (status === 429) say('That was too much at once. Wait a moment.');
  else if (status === 404) say('It is not there any more.');
  else say('That did not work. Try again.');
});
document.addEventListener('htmx:sendError', () => say('The server cannot be reached. Try again.'));
