// The live page. It asks for the state every second, and hears of the log as it is written. What comes from
// participants is only ever set as text.
"use strict";

const PAGE = 50; // participants at a time
const REFRESH_MS = 1000;
const HIDDEN_MS = 10000;
const LIMIT_MS = 8000; // of a request
const LOG_LINES = 500;

const view = { sort: "state", descending: false, offset: 0, filter: "" };
let epoch = null; // of the server that answers
let curvesVersion = null;
let curvesAt = 0;
let curvesStale = true;
let goneSince = null;
let timer = null;
let asking = false;
let again = false;

const $ = (id) => document.getElementById(id);

// ---- text ----

function set(node, text) {
    if (node.textContent !== text)
        node.textContent = text;
}

function element(name, parent, className) {
    return adopt(document.createElement(name), parent, className);
}

function shape(name, parent, className) {
    return adopt(document.createElementNS("http://www.w3.org/2000/svg", name), parent, className);
}

function adopt(node, parent, className) {
    if (className)
        node.setAttribute("class", className);
    if (parent)
        parent.append(node);
    return node;
}

// As many children as there are items: made by `make`, filled in by `fill`.
function list(parent, items, make, fill) {
    while (parent.children.length > items.length)
        parent.lastElementChild.remove();
    while (parent.children.length < items.length)
        parent.append(make());
    items.forEach((item, i) => fill(parent.children[i], item));
}

function count(number) {
    return number.toLocaleString("en");
}

function bytes(number) {
    const units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let unit = 0;
    while (number >= 999.5 && unit < units.length - 1) {
        number /= 1000;
        unit++;
    }
    return `${number < 10 && number % 1 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

function duration(ms) {
    const seconds = ms / 1000;
    if (seconds < 1)
        return `${Math.round(ms)} ms`;
    if (seconds < 10)
        return `${seconds.toFixed(1)} s`;
    if (seconds < 60)
        return `${Math.floor(seconds)} s`;
    if (seconds < 3600)
        return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    if (seconds < 86400)
        return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
}

function value(number) {
    if (number === null)
        return "not a number";
    const size = Math.abs(number);
    if (size >= 1e15 || (number && size < 1e-3))
        return number.toExponential(3);
    if (size < 1e6)
        return String(Number(number.toPrecision(5)));
    const [unit, letter] = size < 999.95e6 ? [1e6, "M"] : size < 999.95e9 ? [1e9, "G"] : [1e12, "T"];
    return Number((number / unit).toPrecision(4)) + letter;
}

// Cut off: 100 % is only what is done.
function percent(share) {
    return `${Math.floor(100 * share + 1e-9)} %`;
}

function clock(ms) {
    return new Date(ms).toLocaleTimeString("en-GB");
}

function sum(managers, get) {
    return managers.reduce((total, manager) => total + get(manager), 0);
}

function total(counts, without) {
    return Object.entries(counts).reduce((all, [name, n]) => all + (without.includes(name) ? 0 : n), 0);
}

// ---- the summary ----

let before = null; // the traffic of the last state, for rates

function rates(state) {
    const now = { at: state.time_ms, sent: 0, received: 0 };
    const views = state.groups.flatMap((group) => group.views);
    for (const one of state.managers.concat(state.own, views)) {
        now.sent += one.traffic.bytes_sent;
        now.received += one.traffic.bytes_received;
    }
    const seconds = before ? (now.at - before.at) / 1000 : 0;
    const rate = seconds > 0.2 ? {
        sent: Math.max(0, now.sent - before.sent) / seconds,
        received: Math.max(0, now.received - before.received) / seconds,
    } : null;
    if (!before || seconds > 0.2)
        before = now;
    return { now, rate };
}

let title = "muster"; // of the tab
let lastRate = { sent: 0, received: 0 };

function showSummary(state) {
    const managers = state.managers;
    const silent = sum(managers, (m) => m.silent), away = sum(managers, (m) => m.away);
    const joining = sum(managers, (m) => m.joining);
    const failed = sum(managers, (m) => total(m.turns_ended, ["OK", "CANCELLED"]));
    const { now, rate } = rates(state);
    lastRate = rate || lastRate;
    const turns = sum(managers, (m) => m.turn_times.count), seconds = sum(managers, (m) => m.turn_times.seconds);
    const ofManagers = managers.length ? [
        ["Open", count(sum(managers, (m) => m.open)), joining ? `${count(joining)} joining` : "participants"],
        ["Silent", count(silent), "not heard of", silent ? "warn" : ""],
        ["Away", count(away), "not connected", away ? "warn" : ""],
        ["Turns", count(turns), `${count(sum(managers, (m) => m.turns_running))} running` +
            (turns ? `, ${duration(1000 * seconds / turns)} each` : "")],
        ["Failed turns", count(failed), turns ? `${Math.round(100 * failed / turns)} % of all` : "none ended yet",
            failed ? "bad" : ""],
        ["Rounds", count(sum(managers, (m) => total(m.rounds_ended, []))),
            `${count(sum(managers, (m) => m.rounds_running))} running`],
    ] : [];
    const cards = [
        ...ofManagers,
        ...groupCards(state.groups),
        ["Sent", bytes(now.sent), `${bytes(lastRate.sent)}/s`],
        ["Received", bytes(now.received), `${bytes(lastRate.received)}/s`],
    ];
    const make = () => {
        const card = element("div");
        element("dt", card);
        element("dd", card);
        element("small", card);
        return card;
    };
    list($("summary"), cards, make, (card, [name, text, small, tone]) => {
        card.dataset.tone = tone || "";
        set(card.children[0], name);
        set(card.children[1], text);
        set(card.children[2], small);
    });
    const names = [...managers, ...state.groups].map((one) => one.name).join(", ");
    const up = managers.length ? `, up ${duration(Math.max(...managers.map((m) => m.up_ms)))}` : "";
    set($("version"), `${names ? `${names}, ` : ""}version ${state.version}${up}`);
    const rounds = managers.flatMap((m) => m.rounds);
    title = (rounds.length ? `round ${rounds[0].number}, ${count(rounds[0].answered)}/${count(rounds[0].count)}` +
        `${silent ? `, ${count(silent)} silent` : ""} \u2013 ` : "") + (names || "muster");
}

// ---- rounds ----

function makeRound() {
    const round = element("div", null, "round");
    const bar = element("div", round, "bar");
    element("h3", bar);
    element("span", bar);
    element("progress", round);
    element("p", round);
    element("ul", round, "waiting");
    return round;
}

function fillRound(node, { manager, round, several }) {
    const [bar, progress, text, waiting] = node.children;
    const done = round.answered + round.failed + round.late;
    set(bar.children[0], `Round ${count(round.number)}${several ? ` of ${manager}` : ""}: ${round.kind}`);
    set(bar.children[1], `for ${duration(round.running_ms)}` +
        (round.left_ms === null ? ", no deadline" : `, ${duration(round.left_ms)} left`));
    progress.max = Math.max(1, round.count);
    progress.value = done;
    progress.setAttribute("aria-label", `round ${round.number}`);
    set(text, `${count(round.answered)} of ${count(round.count)} answered` +
        (round.enough < round.count ? ` (${count(round.enough)} are enough)` : "") +
        (round.failed ? `, ${count(round.failed)} failed` : "") + (round.late ? `, ${count(round.late)} late` : "") +
        (round.running ? `. Waiting for ${count(round.running)}:` : "."));
    const more = round.running - round.waiting.length;
    const names = round.waiting.map((one) => ({
        state: one.silent ? "silent" : one.state,
        text: one.name + (one.silent ? `, silent for ${duration(one.heard_ms)}`
            : one.state === "open" ? (one.progress ? `, ${percent(one.progress)}` : "") : `, ${one.state}`),
    }));
    if (more > 0 && names.length)
        names.push({ state: "", text: `and ${count(more)} more` });
    list(waiting, names, () => element("li"), (item, one) => {
        item.dataset.state = one.state;
        set(item, one.text);
    });
}

function showRounds(state) {
    const several = state.managers.length > 1;
    const rounds = state.managers.flatMap((m) => m.rounds.map((round) => ({ manager: m.name, round, several })));
    $("rounds-section").hidden = $("participants").hidden = !state.managers.length;
    $("no-round").hidden = rounds.length > 0;
    set($("rounds-title"), rounds.length > 1 ? "Running rounds" : "Running round");
    list($("rounds"), rounds, makeRound, fillRound);
}

// ---- participants ----

function makeRow() {
    const row = element("tr");
    const name = element("th", row);
    name.scope = "row";
    element("span", name);
    element("small", name);
    element("td", row, "number wide");
    element("span", element("td", row), "state");
    const turn = element("div", element("td", row), "turn");
    element("progress", turn).max = 1;
    element("span", turn);
    element("td", row, "number wide");
    element("td", row, "wide faint");
    element("td", row, "number heard");
    element("td", row, "number");
    element("td", row, "number wide");
    return row;
}

function transferOf(one) {
    const t = one.transfer;
    if (!t || (!t.to_send && !t.to_receive))
        return "";
    return t.to_receive ? `\u2191 ${bytes(t.received)} of ${bytes(t.to_receive)}`
                        : `\u2193 ${bytes(t.sent)} of ${bytes(t.to_send)}`;
}

function numbersOf(one) {
    return Object.entries(one.numbers || {}).map(([name, value]) => `${name} ${value === null ? "none" : +value.toPrecision(6)}`)
        .join(", ");
}

function fillRow(row, one) {
    const cells = row.children;
    const works = one.kind !== "none";
    const state = one.silent ? "silent" : one.state;
    set(cells[0].children[0], one.name);
    set(cells[0].children[1], one.peer + (one.several ? `, ${one.manager}` : ""));
    set(cells[1], String(one.rank));
    const badge = cells[2].firstElementChild;
    badge.dataset.state = state;
    set(badge, state === "silent" ? `silent ${duration(one.heard_ms)}`
        : state === "away" ? `away ${duration(one.state_ms)}` : state === "admitted" ? "joining" : state);
    const [bar, done] = cells[3].firstElementChild.children;
    cells[3].firstElementChild.hidden = !works;
    bar.value = works ? one.progress : 0;
    bar.setAttribute("aria-label", `turn of ${one.name}`);
    set(done, works ? (one.progress ? percent(one.progress) : one.kind) : "");
    set(cells[4], works ? duration(one.turn_ms) : "");
    set(cells[5], [transferOf(one), numbersOf(one)].filter(Boolean).join(", "));
    set(cells[6], duration(one.heard_ms));
    set(cells[7], count(one.failed));
    cells[7].classList.toggle("failed", one.failed > 0);
    set(cells[8], bytes(one.traffic.bytes_sent + one.traffic.bytes_received));
}

function showParticipants(state) {
    const { rows, total: all, matching, offset } = state.participants;
    if (offset >= matching && matching > 0) { // fewer than before
        view.offset = Math.floor((matching - 1) / PAGE) * PAGE;
        again = true;
    }
    const several = state.managers.length > 1;
    list($("rows"), rows.map((row) => ({ ...row, several })), makeRow, fillRow);
    $("no-rows").hidden = rows.length > 0;
    set($("no-rows"), all ? "No participant matches the filter." : "No participant has joined yet, or all have left.");
    $("table").hidden = all === 0;
    set($("page"), matching ? `${count(offset + 1)}\u2013${count(offset + rows.length)} of ${count(matching)}` +
        (matching < all ? ` (${count(all)} in all)` : "") : "");
    const one = matching <= PAGE;
    $("previous").hidden = one;
    $("next").hidden = one;
    $("previous").disabled = offset === 0;
    $("next").disabled = offset + rows.length >= matching;
}

function showSorting() {
    for (const head of document.querySelectorAll("th[data-sort]")) {
        if (head.dataset.sort === view.sort)
            head.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
        else
            head.removeAttribute("aria-sort");
    }
}

function showOwn(state) {
    $("own-section").hidden = state.own.length === 0;
    list($("own"), state.own, () => element("li"), (item, own) => set(item,
        `${own.name} (rank ${own.rank}): ${own.state} for ${duration(own.state_ms)}, ` +
        (own.working ? `at work for ${duration(own.turn_ms)}, ` : "") +
        `${count(own.answered)} of ${count(own.consumed)} instructions answered`));
}

// ---- curves ----

const charts = new Map(); // by kind and name

function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function paint(chart) {
    const faint = color("--faint"), line = color("--line");
    for (const axis of Object.values(chart.options.scales)) {
        axis.ticks.color = faint;
        axis.grid.color = line;
        axis.grid.borderColor = line;
    }
    chart.options.plugins.legend.labels.color = faint;
    chart.data.datasets.forEach((set, i) => {
        set.borderColor = set.backgroundColor = color(i ? "--second" : "--accent");
    });
}

// The last tick is at the end of the data: one just before it would be written over it.
function thinOut({ ticks }) {
    const last = ticks.length - 1;
    if (last > 2 && ticks[last].value - ticks[last - 1].value < 0.6 * (ticks[2].value - ticks[1].value))
        ticks.splice(last - 1, 1);
}

function makeChart(name, labels, tickX, tickY, system) {
    const figure = element("figure", $("curves"), system ? "system" : "");
    const caption = element("figcaption", figure);
    set(element("h3", caption), name);
    const last = element("span", caption);
    const canvas = element("canvas", element("div", figure, "canvas"));
    canvas.setAttribute("role", "img");
    const chart = new Chart(canvas, {
        type: "line",
        data: {
            datasets: labels.map((label) => ({
                label, data: [], borderWidth: 1.75, pointRadius: 0, pointHitRadius: 8, tension: 0, spanGaps: true,
            })),
        },
        options: {
            animation: false,
            parsing: false,
            normalized: true,
            maintainAspectRatio: false,
            interaction: { mode: "index", intersect: false },
            scales: {
                x: { type: "linear", bounds: "data", afterBuildTicks: thinOut, ticks: { callback: tickX, maxTicksLimit: 5, maxRotation: 0, precision: 0 },
                    grid: { display: false } },
                y: { min: system ? 0 : undefined, ticks: { callback: tickY, maxTicksLimit: 5 }, grid: {} },
            },
            plugins: {
                legend: { display: labels.length > 1, labels: { boxWidth: 12, boxHeight: 2 } },
                tooltip: { callbacks: { title: (items) => items.length ? tickX(items[0].parsed.x) : "",
                    label: (item) => `${item.dataset.label}: ${tickY(item.parsed.y)}` } },
            },
        },
    });
    paint(chart);
    return { figure, last, canvas, chart };
}

// What is of the system itself, and no scalar of the program's, comes behind those.
function draw(name, labels, sets, tickX, tickY, system) {
    const key = (system ? "system " : "scalar ") + name;
    if (!charts.has(key))
        charts.set(key, makeChart(name, labels, tickX, tickY, system));
    const { figure, last, canvas, chart } = charts.get(key);
    figure.hidden = sets.every((points) => points.length === 0);
    sets.forEach((points, i) => {
        chart.data.datasets[i].data = points;
        chart.data.datasets[i].pointRadius = points.length < 2 ? 3 : 0;
    });
    // What never changed is drawn above zero, instead of with an axis of equal labels.
    const { y } = chart.options.scales, points = sets.flat();
    const flat = points.length > 0 && points.every((point) => point.y === points[0].y);
    y.suggestedMin = flat ? Math.min(0, 1.5 * points[0].y) : undefined;
    y.suggestedMax = flat ? Math.max(0, 1.5 * points[0].y) || 1 : undefined;
    const ends = sets.map((points) => points.length ? tickY(points[points.length - 1].y) : "");
    set(last, ends.join(" / "));
    canvas.setAttribute("aria-label", `${name}, ${sets[0].length} points, the last: ${ends.join(", ")}`);
    canvas.dataset.points = sets[0].length;
    chart.update("none");
}

// What was counted so far becomes how much there was between two points.
function between(history, get) {
    const points = [];
    for (let i = 1; i < history.length; i++) {
        const y = get(history[i - 1], history[i]);
        if (y !== null)
            points.push({ x: history[i][0], y });
    }
    return points;
}

function showCurves(state) {
    const perSecond = (i) => (a, b) => b[0] > a[0] ? Math.max(0, b[i] - a[i]) / (b[0] - a[0]) : null;
    const tickTime = (x) => clock(1000 * x), tickRate = (y) => `${bytes(y)}/s`;
    for (const curve of state.curves) {
        const points = curve.points.filter((p) => p[1] !== null).map((p) => ({ x: p[0], y: p[1] }));
        draw(curve.name, [curve.name], [points], (x) => count(x), value);
    }
    draw("Traffic", ["sent", "received"],
        [between(state.history, perSecond(1)), between(state.history, perSecond(2))], tickTime, tickRate, true);
    draw("Time of a turn", ["mean"], [between(state.history,
        (a, b) => b[3] > a[3] ? (b[4] - a[4]) / (b[3] - a[3]) : null)], tickTime, (y) => `${value(y)} s`, true);
    const there = new Set(state.curves.map((curve) => `scalar ${curve.name}`));
    for (const [key, { figure, chart }] of charts) {
        if (there.has(key) || key.startsWith("system "))
            continue;
        chart.destroy();
        figure.remove();
        charts.delete(key);
    }
    $("no-curves").hidden = [...charts.values()].some(({ figure }) => !figure.hidden);
    const pairs = state.settings.flat();
    $("no-settings").hidden = pairs.length > 0;
    if ($("settings").children.length !== pairs.length) {
        $("settings").replaceChildren();
        pairs.forEach((text, i) => element(i % 2 ? "dd" : "dt", $("settings")));
    }
    pairs.forEach((text, i) => set($("settings").children[i], text));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { chart } of charts.values()) {
        paint(chart);
        chart.update("none");
    }
});

// ---- the log ----

let events = null;
let waiting = false; // lines that came are being shown
let lines = [];

function showLines() {
    const log = $("log");
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    waiting = false;
    for (const line of lines.splice(0).slice(-LOG_LINES)) {
        const item = element("li", log);
        item.dataset.kind = line.kind;
        set(element("time", item), clock(line.time_ms));
        set(element("span", item, "kind"), line.kind);
        const who = [line.participant, line.status && line.status !== "OK" ? line.status : null, line.text];
        set(element("span", item), who.filter(Boolean).join(": "));
    }
    while (log.children.length > LOG_LINES)
        log.firstElementChild.remove();
    $("no-log").hidden = log.children.length > 0;
    if (atEnd)
        log.scrollTop = log.scrollHeight;
}

function listen() {
    events = new EventSource("api/events");
    events.onmessage = (event) => {
        lines.push(JSON.parse(event.data));
        if (lines.length > 2 * LOG_LINES) // nothing is drawn while the page is hidden
            lines.splice(0, LOG_LINES);
        if (!waiting) {
            waiting = true;
            requestAnimationFrame(showLines);
            soon(100);
        }
    };
    events.onerror = () => { // it comes back by itself, unless it was refused
        if (events.readyState === EventSource.CLOSED)
            setTimeout(listen, 5000);
    };
}

// ---- asking ----

function isGone(why) {
    goneSince = goneSince || Date.now();
    document.body.classList.add("gone");
    $("connection").dataset.state = "gone";
    set($("connection"), "no answer");
    $("gone").hidden = false;
    document.title = `no answer \u2013 ${title}`;
    set($("gone"), `The server has not answered since ${clock(goneSince)} (${why}). Below is what it last said. This page tries again.`);
}

function isLive() {
    goneSince = null;
    document.body.classList.remove("gone");
    $("connection").dataset.state = "live";
    set($("connection"), "live");
    $("gone").hidden = true;
}

function show(state) {
    if (epoch !== null && epoch !== state.epoch) { // another server, with a log of its own
        $("log").replaceChildren();
        curvesStale = true;
        before = null;
    }
    epoch = state.epoch;
    showSummary(state);
    showGroups(state);
    showRounds(state);
    showParticipants(state);
    showOwn(state);
    document.title = title;
    if (state.curves) {
        curvesVersion = state.curves_version;
        curvesStale = false;
        curvesAt = Date.now();
        showCurves(state);
    } else {
        curvesStale = state.curves_version !== curvesVersion;
    }
}

async function ask() {
    const whole = curvesStale || Date.now() - curvesAt > 3000;
    const query = new URLSearchParams({
        sort: view.sort, descending: view.descending ? 1 : 0, offset: view.offset, limit: PAGE, curves: whole ? 1 : 0,
    });
    if (view.filter)
        query.set("filter", view.filter);
    again = false;
    const response = await fetch(`api/state?${query}`, { signal: AbortSignal.timeout(LIMIT_MS), cache: "no-store" });
    if (!response.ok)
        throw new Error(`it says ${response.status}`);
    return response.json();
}

async function refresh() {
    if (asking) {
        again = true;
        return;
    }
    asking = true;
    try {
        const state = await ask();
        isLive();
        show(state);
    } catch (error) {
        isGone(error.name === "TimeoutError" ? "no answer in time"
            : error instanceof TypeError ? "no connection" : error.message);
    }
    asking = false;
    soon(again ? 50 : document.hidden ? HIDDEN_MS : REFRESH_MS);
}

function showPage(offset) {
    view.offset = offset;
    $("scroll").scrollTop = 0;
    refresh();
}

function soon(ms) {
    clearTimeout(timer);
    timer = setTimeout(refresh, ms);
}

// ---- what a person does ----

for (const head of document.querySelectorAll("th[data-sort]")) {
    head.querySelector("button").addEventListener("click", () => {
        view.descending = view.sort === head.dataset.sort ? !view.descending
            : ["failed", "bytes", "heard", "turn", "progress"].includes(head.dataset.sort);
        view.sort = head.dataset.sort;
        showSorting();
        showPage(0);
    });
}
$("filter").addEventListener("input", () => {
    view.filter = $("filter").value.trim();
    view.offset = 0;
    soon(150);
});
$("previous").addEventListener("click", () => showPage(Math.max(0, view.offset - PAGE)));
$("next").addEventListener("click", () => showPage(view.offset + PAGE));
document.addEventListener("visibilitychange", () => {
    if (!document.hidden)
        refresh();
});

showSorting();
refresh();
listen();
