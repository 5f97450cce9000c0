// Puts the queue and the takes on the screen: asks once a second what has changed, and changes that alone.
const SECOND = 1000;
const LOST = "The page has lost its server. It goes on by itself once that runs again.";
const one = (name) => element.querySelector(name);

let seen = -1;
let models = null;
let misses = 0;
let timer = null;
let asking = false;

function made(tag, name, words) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (words !== undefined) node.textContent = words;
  return node;
}

function say(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function button(words, name, title, act) {
  const node = made("button", name, words);
  node.type = "button";
  node.title = title;
  node.addEventListener("click", async () => {
    node.disabled = true;
    const why = await act();
    if (why) warn(why);
    node.disabled = false;
    ask();
  });
  return node;
}

function warn(words) {
  const line = one(".line");
  line.dataset.warning = words;
  show_line(words);
  setTimeout(() => {
    delete line.dataset.warning;
    show_line("");
  }, 8 * SECOND);
}

function show_line(words) {
  const line = one(".line");
  const shown = line.dataset.warning || words;
  say(line, shown);
  line.hidden = !shown;
}

// Keeps the nodes of rows that are still there, in the rows' order.
function arrange(box, rows, create, refresh) {
  const nodes = new Map([...box.children].map((node) => [node.dataset.id, node]));
  let at = box.firstElementChild;
  for (const row of rows) {
    let node = nodes.get(row.id);
    nodes.delete(row.id);
    if (!node) {
      node = create(row);
      node.dataset.id = row.id;
    }
    refresh(node, row);
    if (node === at) at = at.nextElementSibling;
    else box.insertBefore(node, at);
  }
  for (const node of nodes.values()) node.remove();
}

function new_job(row) {
  const node = made("li", "job");
  const picture = made("div", "picture");
  picture.append(made("img"));
  picture.firstChild.alt = "";
  const text = made("div", "text");
  const bar = made("div", "bar");
  bar.append(made("i"));
  text.append(made("p", "title"), made("p", "what"), bar);
  const buttons = made("div", "buttons");
  if (row.mine) {
    const id = { id: row.id };
    buttons.append(
      button("Cancel", "cancel", "End this take", () => server.cancel(id)),
      button("Try Again", "retry", "Go on from the last step", () => server.retry(id)),
      button("Dismiss", "dismiss", "Take this out of the list", () => server.remove(id)),
    );
  } else {
    buttons.append(made("span", "elsewhere", "Blender"));
  }
  node.append(picture, text, buttons);
  return node;
}

function show_job(node, row) {
  node.classList.toggle("runs", row.runs);
  node.classList.toggle("ended", row.ended);
  say(node.querySelector(".title"), row.title);
  say(node.querySelector(".what"), [row.what, row.left].filter(Boolean).join(" · "));
  node.querySelector(".bar i").style.width = `${100 * row.progress}%`;
  const image = node.querySelector("img");
  if (row.preview && image.src !== row.preview) image.src = row.preview;
  image.hidden = !row.preview;
}

function new_take(row) {
  const node = made("article", "take");
  const movie = made("video");
  Object.assign(movie, { src: row.url, controls: true, loop: true, muted: true, playsInline: true, preload: "metadata" });
  movie.style.aspectRatio = `${row.width} / ${row.height}`;
  const save = made("a", "save", "Save");
  Object.assign(save, { href: row.url, download: row.name, title: "Save the movie" });
  const id = { id: row.id };
  const buttons = made("div", "buttons");
  buttons.append(
    button("Again", "again", "Make another take like this one, with another seed", () => server.repeat(id)),
    button("Edit", "use", "Put this take's settings into the form", async () => {
      trigger("select", id);
      document.querySelector("#form")?.scrollIntoView({ behavior: "smooth" });
    }),
    save,
    button("Remove", "remove", "Move this take to the trash", () => server.remove(id)),
  );
  node.append(movie, made("p", "title"), made("p", "settings"), buttons);
  return node;
}

function show_take(node, row) {
  say(node.querySelector(".title"), row.title);
  say(node.querySelector(".settings"), row.settings);
}

function show(state) {
  seen = state.version;
  show_line(state.line);
  arrange(one(".jobs"), state.queue, new_job, show_job);
  arrange(one(".grid"), state.takes, new_take, show_take);
  one(".queue .nothing").hidden = state.queue.length > 0;
  one(".takes .nothing").hidden = state.takes.length > 0;
  if (models !== state.models) {
    models = state.models;
    trigger("change");
  }
}

async function ask() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  const state = await server.board({ seen });
  asking = false;
  if (!element.isConnected) return;
  misses = state === undefined ? misses + 1 : 0;
  if (misses > 2) {
    seen = -1;
    show_line(LOST);
  }
  if (state) show(state);
  timer = setTimeout(ask, document.hidden ? 5 * SECOND : SECOND);
}

document.addEventListener("visibilitychange", () => document.hidden || ask());
ask();
