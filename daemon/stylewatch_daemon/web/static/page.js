// Makes the page live. Without scripts all of it can be read, and all forms work.
import { compare } from "./compare.js";
import { drop } from "./drop.js";
import { live } from "./live.js";
import { retry } from "./blanks.js";
import { keys } from "./keys.js";
import { stages } from "./stages.js";
import { acts, copies, times, zone } from "./small.js";

function enhance(part) {
  times(part);
  copies(part);
  compare(part);
  stages(part);
  retry(part);
}

acts();
keys();
zone(document.querySelector("[data-zone]"));
drop(document.getElementById("upload"));
enhance(document);
live(document.body.dataset.events, enhance);
