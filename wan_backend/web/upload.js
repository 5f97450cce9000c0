// Sends the picture or the movie that a take is made from, and shows it. The component's value is the upload's id.
const ANOTHER = "Drop another one here, or press to choose it";
const one = (name) => element.querySelector(name);
let sending = null;

function say(words) {
  one(".bad").textContent = words;
  one(".bad").hidden = !words;
}

function wait(share) {
  one(".bar").hidden = share === null;
  one(".bar i").style.width = `${100 * (share || 0)}%`;
}

async function paint() {
  const id = props.value || "";
  const picture = id ? await server.picture({ id }) : "";
  if (id !== (props.value || "")) return;
  const image = one("img");
  image.hidden = !picture;
  if (picture) image.src = picture;
  one(".words").textContent = !picture ? props.invite : props.optional ? "" : ANOTHER;
  one(".remove").hidden = !(picture && props.optional);
}

function send(file) {
  sending?.abort();
  say(file.size > props.limit ? props.too_large : "");
  if (file.size > props.limit) return;
  const request = (sending = new XMLHttpRequest());
  request.open("PUT", "upload");
  request.upload.onprogress = (event) => {
    one(".words").textContent = "Sending …";
    wait(event.loaded / event.total);
  };
  request.upload.onload = () => (one(".words").textContent = "Looking at it …");
  request.onloadend = () => {
    if (sending !== request) return;
    sending = null;
    wait(null);
    let told = {};
    try {
      told = JSON.parse(request.responseText);
    } catch {
      told.said = request.responseText;
    }
    if (request.status === 200) props.value = told.id;
    else say(told.said || "The file didn't arrive: it may be too large, or the page has lost its server.");
    paint();
  };
  wait(0);
  request.send(file);
}

element.addEventListener("change", (event) => {
  if (event.target.type !== "file") return;
  event.stopPropagation();
  if (event.target.files.length) send(event.target.files[0]);
  event.target.value = "";
});
element.addEventListener("click", (event) => {
  if (event.target !== one(".remove")) return;
  event.preventDefault();
  props.value = "";
  say("");
  paint();
});
element.addEventListener("dragover", (event) => {
  event.preventDefault();
  one(".drop").classList.add("over");
});
element.addEventListener("dragleave", () => one(".drop").classList.remove("over"));
element.addEventListener("drop", (event) => {
  event.preventDefault();
  one(".drop").classList.remove("over");
  if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
});
element.addEventListener("keydown", (event) => {
  if (event.target === one(".drop") && (event.key === "Enter" || event.key === " ")) one("input").click();
});
watch("value", paint);
paint();
