// Copies what a button says to the clipboard; without scripts these buttons are not shown.
document.documentElement.classList.add("scripted");
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button || !navigator.clipboard) return;
  navigator.clipboard.writeText(button.dataset.copy).then(() => {
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1500);
  });
});
const down = () => {
  const log = document.querySelector(".bubbles");
  if (log) log.scrollTop = log.scrollHeight;
};
down();
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.closest && event.target.closest(".bubbles")) down();
});
