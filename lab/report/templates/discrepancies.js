// The filter over the discrepancies, and what passes it as a file. Without this script all of them are shown.
(() => {
  "use strict";
  const box = document.getElementById("discrepancies"), source = document.getElementById("discrepancy-data");
  if (!box || !source) return;
  const data = JSON.parse(source.textContent);
  const find = (role) => box.querySelector(`[data-role=${role}]`);
  const choices = ["kind", "cause", "vendor"], selects = choices.map(find), search = find("text"), said = find("said");
  const texts = (name, row) => data.texts[name][data.columns[name][row]];
  const rows = data.columns.kind.length;

  const groups = [...box.querySelectorAll("tr[data-group]")];

  // By the groups that are chosen, and by whoever bears the words in its name, listed or not.
  const passing = () => {
    const wanted = selects.map((select) => select.value), words = search.value.trim().toLowerCase();
    const chosen = groups.map((group) => choices.every((name, at) => !wanted[at] || group.dataset[name] === wanted[at]));
    const named = (row) => ["usage_point", "serial"].some((name) => texts(name, row).toLowerCase().includes(words));
    const found = [];
    for (let row = 0; row < rows; row++) if (chosen[data.group[row]] && (!words || named(row))) found.push(row);
    return { found, chosen, words, all: !words && chosen.every(Boolean) };
  };

  const show = () => {
    const { found, chosen, words, all } = passing();
    const alive = new Set(found.map((row) => data.group[row]));
    for (const group of box.querySelectorAll("[data-group]")) {
      const number = Number(group.dataset.group);
      group.hidden = words ? !alive.has(number) : !chosen[number];
      for (const finding of group.querySelectorAll("[data-names]")) finding.hidden = words !== "" && !finding.dataset.names.toLowerCase().includes(words);
    }
    const of = rows < data.total ? `the first ${rows.toLocaleString("en")} of ${data.total.toLocaleString("en")}` : rows.toLocaleString("en");
    said.textContent = all ? "" : `${found.length.toLocaleString("en")} of ${of}`;
  };

  const cell = (value) => value === null ? "" : typeof value === "number" ? String(value) : /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const download = () => {
    const lines = passing().found.map((row) => data.header.map((name) => cell(data.texts[name] ? texts(name, row) : data.columns[name][row])).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", [data.header.join(","), ...lines, ""].join("\r\n")], { type: "text/csv;charset=utf-8" }));
    link.download = "discrepancies.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  for (const select of selects) select.addEventListener("change", show);
  search.addEventListener("input", show);
  find("download").addEventListener("click", download);
  find("all").addEventListener("click", () => { for (const select of selects) select.value = ""; search.value = ""; show(); });
  box.classList.add("live");
  // The browser may have kept what was chosen before.
  show();
})();
