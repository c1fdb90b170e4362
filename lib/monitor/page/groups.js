// The groups: their graphs, with who waits for whom, and their members. It uses what page.js has.
"use strict";

const DRAWN_MAX = 200; // members of a group in its graph
const EDGES_MAX = 2000;
const LONG_MS = 1000; // of a wait: members that work wait for each other now and then

function groupCards(groups) {
    if (!groups.length)
        return [];
    const lost = sum(groups, (g) => g.lost), waits = groups.flatMap((g) => g.views.flatMap((view) => view.waits));
    return [
        ["Members", count(sum(groups, (g) => g.present)), `of ${count(sum(groups, (g) => g.members.length))} present`],
        ["Lost", count(lost), "members", lost ? "bad" : ""],
        ["Waits", count(waits.length),
            waits.length ? `the longest for ${duration(Math.max(...waits.map((wait) => wait.waiting_ms)))}` : "nobody waits"],
    ];
}

// What all views together know: an edge for each pair, and an arrow for each wait.
function joinViews(group) {
    const edges = new Map(), arrows = [], own = new Map();
    for (const view of group.views) {
        own.set(view.rank, view);
        for (const edge of view.edges) {
            const [a, b] = view.rank < edge.rank ? [view.rank, edge.rank] : [edge.rank, view.rank];
            const bytes = edge.traffic.bytes_sent + edge.traffic.bytes_received;
            const known = edges.get(`${a} ${b}`);
            // Both ends count the same traffic.
            if (!known || bytes > known.bytes)
                edges.set(`${a} ${b}`, { a, b, bytes, link: edge.link });
            if (edge.fetches && !group.views.some((other) => other.rank === edge.rank))
                arrows.push({ from: edge.rank, to: view.rank, call: "fetch", ms: null });
        }
        for (const wait of view.waits)
            arrows.push({ from: view.rank, to: wait.rank, call: wait.call, ms: wait.waiting_ms });
    }
    return { edges: [...edges.values()].filter((edge) => edge.link !== "none" || edge.bytes), arrows, own,
        holders: holdersOf(arrows) };
}

function isLong(arrow) {
    return arrow.ms !== null && arrow.ms >= LONG_MS;
}

// For whom others wait for long, and who waits for nobody itself, as far as it is known.
function holdersOf(arrows) {
    const long = arrows.filter((arrow) => isLong(arrow) && arrow.to !== null);
    const held = new Set(long.map((arrow) => arrow.from));
    return new Set(long.map((arrow) => arrow.to).filter((rank) => !held.has(rank)));
}

function waitText(arrow) {
    return arrow.ms === null ? arrow.call : `${arrow.call}, ${duration(arrow.ms)}`;
}

// A graph of 400 by 400: the ranks on a circle, from the top clockwise. A number that a small member has no room for
// stands beside it, and where these would be too near to each other, it is that of every other member, or fewer.
function placesOf(members) {
    const many = members.length, size = Math.max(1.5, Math.min(14, 300 / many)), inside = size >= 8;
    const every = inside ? 1 : Math.ceil(many / 50);
    return members.map((_, i) => {
        const angle = 2 * Math.PI * i / many - Math.PI / 2;
        const radius = many > 1 ? 175 : 0, label = inside ? radius : radius + size + 10;
        const at = (distance) => [200 + distance * Math.cos(angle), 200 + distance * Math.sin(angle)];
        const [x, y] = at(radius), [labelX, labelY] = at(label);
        return { x, y, size, labelX, labelY, labelled: i % every === 0 };
    });
}

// From the rim of one member to that of the other.
function lineBetween(line, from, to) {
    const x = to.x - from.x, y = to.y - from.y, length = Math.hypot(x, y) || 1;
    line.setAttribute("x1", (from.x + x / length * from.size).toFixed(1));
    line.setAttribute("y1", (from.y + y / length * from.size).toFixed(1));
    line.setAttribute("x2", (to.x - x / length * to.size).toFixed(1));
    line.setAttribute("y2", (to.y - y / length * to.size).toFixed(1));
}

function makeLine(className) {
    const line = shape("line", null, className);
    shape("title", line);
    return line;
}

function makeMember() {
    const node = shape("g");
    shape("title", node);
    shape("circle", node);
    shape("path", node); // the cross of who is lost
    shape("text", node);
    return node;
}

function fillMember(node, { member, place, isOwn, any, holds }) {
    const [title, circle, cross, text] = node.children;
    const { x, y, size } = place, arm = size * 0.7;
    node.dataset.state = member.state;
    node.dataset.own = isOwn;
    node.dataset.any = any;
    node.dataset.holds = holds;
    set(title, `rank ${member.rank}: ${member.name}, ${member.state}${any ? ", waits for anybody" : ""}` +
        (holds ? ", waits for nobody that is known, and others wait for it" : ""));
    circle.setAttribute("cx", x.toFixed(1));
    circle.setAttribute("cy", y.toFixed(1));
    circle.setAttribute("r", size);
    circle.setAttribute("stroke-width", Math.max(1, size / (isOwn ? 4 : 8)));
    cross.setAttribute("stroke-width", size / 6);
    cross.setAttribute("d", member.state === "lost"
        ? `M${x - arm} ${y - arm}L${x + arm} ${y + arm}M${x - arm} ${y + arm}L${x + arm} ${y - arm}` : "M0 0");
    text.setAttribute("x", place.labelX.toFixed(1));
    text.setAttribute("y", place.labelY.toFixed(1));
    set(text, place.labelled || holds || member.state === "lost" ? String(member.rank) : "");
}

function drawGraph(svg, group, { edges, arrows, own, holders }) {
    const [defs, links, waits, nodes] = svg.children;
    const places = placesOf(group.members);
    const most = Math.max(1, ...edges.map((edge) => edge.bytes));
    const thin = Math.min(1, Math.sqrt(60 / Math.max(1, edges.length))); // the more lines, the thinner
    const drawn = edges.sort((a, b) => b.bytes - a.bytes).slice(0, EDGES_MAX);
    list(links, drawn, () => makeLine("link"), (line, edge) => {
        lineBetween(line, places[edge.a], places[edge.b]);
        line.dataset.link = edge.link;
        line.setAttribute("stroke-width", (thin * (1 + 2.5 * edge.bytes / most)).toFixed(2));
        set(line.firstElementChild, `${edge.a} \u2013 ${edge.b}: ${edge.link === "none" ? "no link now" : edge.link}, ${bytes(edge.bytes)}`);
    });
    const directed = arrows.filter((arrow) => arrow.to !== null).slice(0, EDGES_MAX);
    for (const name of ["markerWidth", "markerHeight"])
        defs.firstElementChild.setAttribute(name, Math.max(4, Math.min(8, 1.5 * places[0].size)));
    list(waits, directed, () => makeLine("wait"), (line, arrow) => {
        lineBetween(line, places[arrow.from], places[arrow.to]);
        line.dataset.brief = arrow.ms !== null && !isLong(arrow);
        line.setAttribute("marker-end", `url(#${svg.dataset.arrow})`);
        set(line.firstElementChild, `${arrow.from} waits for ${arrow.to}: ${waitText(arrow)}`);
    });
    const anybody = new Set(arrows.filter((arrow) => arrow.to === null).map((arrow) => arrow.from));
    const members = group.members.map((member, i) => ({
        member, place: places[i], isOwn: own.has(member.rank), any: anybody.has(member.rank),
        holds: holders.has(member.rank),
    }));
    list(nodes, members, makeMember, fillMember);
    svg.setAttribute("aria-label", `The group ${group.name}: ${count(group.present)} of ${count(group.members.length)} ` +
        `members present, ${count(group.lost)} lost, ${count(edges.filter((edge) => edge.link === "open").length)} open links, ` +
        `${count(arrows.length)} waits. The table beside it says the same.`);
}

function makeMemberRow() {
    const row = element("tr");
    element("td", row, "number");
    const name = element("th", row);
    name.scope = "row";
    element("span", name);
    element("small", name);
    element("span", element("td", row), "state");
    element("td", row, "number wide");
    element("td", row, "waits");
    return row;
}

// For each call whom it is about: "waits for 3, 4: receive, 12 s".
function waitsOf(arrows, key, other) {
    const calls = new Map();
    for (const arrow of arrows) {
        const call = calls.get(arrow.call) || { ranks: new Set(), ms: 0 };
        call.ranks.add(arrow[other] === null ? "anybody" : arrow[other]);
        call.ms = Math.max(call.ms, arrow.ms || 0);
        calls.set(arrow.call, call);
    }
    return [...calls].map(([call, { ranks, ms }]) => {
        const some = [...ranks].slice(0, 8).join(", ") + (ranks.size > 8 ? ` and ${count(ranks.size - 8)} more` : "");
        return `${key} ${some}: ${call}${ms ? `, ${duration(ms)}` : ""}`;
    });
}

function fillMemberRow(row, { member, bytes: all, isOwn, waits, awaited }) {
    const cells = row.children;
    set(cells[0], String(member.rank));
    set(cells[1].children[0], member.name);
    set(cells[1].children[1], member.address + (isOwn ? ", in this process" : ""));
    const badge = cells[2].firstElementChild;
    badge.dataset.state = member.state;
    set(badge, member.state);
    set(cells[3], all ? bytes(all) : "");
    cells[4].dataset.brief = ![...waits, ...awaited].some(isLong);
    set(cells[4], [...waitsOf(waits, "waits for", "to"), ...waitsOf(awaited, "awaited by", "from")].join("; "));
}

// Those in trouble first, and otherwise by rank.
function memberRows(group, { edges, arrows, own, holders }) {
    const rows = group.members.map((member) => ({
        member, bytes: 0, isOwn: own.has(member.rank) && own.size < group.members.length, waits: [], awaited: [],
    }));
    for (const edge of edges) {
        rows[edge.a].bytes += edge.bytes;
        rows[edge.b].bytes += edge.bytes;
    }
    for (const arrow of arrows) {
        rows[arrow.from].waits.push(arrow);
        if (arrow.to !== null)
            rows[arrow.to].awaited.push(arrow);
    }
    const calm = ({ member }) => member.state === "lost" ? 0 : holders.has(member.rank) ? 1 : 2;
    return rows.sort((a, b) => calm(a) - calm(b) || a.member.rank - b.member.rank).slice(0, DRAWN_MAX);
}

let graphs = 0; // made so far

function makeGroup() {
    const section = element("section", null, "group");
    const id = `group-${graphs++}`;
    const bar = element("div", section, "bar");
    element("h2", bar).id = id;
    element("span", bar, "faint");
    section.setAttribute("aria-labelledby", id);
    const columns = element("div", section, "graph");
    const svg = shape("svg", columns);
    svg.setAttribute("viewBox", "0 0 400 400");
    svg.setAttribute("role", "img");
    svg.dataset.arrow = `${id}-arrow`;
    const marker = shape("marker", shape("defs", svg));
    marker.id = svg.dataset.arrow;
    for (const [name, text] of [["viewBox", "0 0 8 8"], ["refX", 7], ["refY", 4], ["markerWidth", 8], ["markerHeight", 8],
        ["markerUnits", "userSpaceOnUse"], ["orient", "auto"]])
        marker.setAttribute(name, text);
    shape("path", marker).setAttribute("d", "M0 0L8 4L0 8z");
    for (let i = 0; i < 3; i++)
        shape("g", svg);
    const scroll = element("div", columns, "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-labelledby", id);
    const table = element("table", scroll);
    const head = element("tr", element("thead", table));
    for (const [name, className] of [["Rank", "number"], ["Member", ""], ["State", ""], ["Bytes", "number wide"], ["Waits", ""]]) {
        const cell = element("th", head, className);
        cell.scope = "col";
        set(cell, name);
    }
    element("tbody", table);
    element("p", section, "empty");
    return section;
}

function fillGroup(section, group) {
    const [bar, columns, note] = section.children;
    const [svg, scroll] = columns.children;
    const all = joinViews(group), many = group.members.length;
    set(bar.children[0], `Group ${group.name}`);
    const here = [...all.own.keys()];
    const seen = here.length === many ? "" : here.length === 1 ? `as rank ${here[0]} sees it: `
        : `as ${count(here.length)} of its members see it: `;
    set(bar.children[1], `${seen}epoch ${count(group.epoch)}, ${count(group.present)} of ${count(many)} present` +
        (group.lost ? `, ${count(group.lost)} lost` : "") + (group.finished ? `, ${count(group.finished)} finished` : ""));
    const drawn = many <= DRAWN_MAX;
    svg.toggleAttribute("hidden", !drawn);
    if (drawn)
        drawGraph(svg, group, all);
    list(scroll.querySelector("tbody"), memberRows(group, all), makeMemberRow, fillMemberRow);
    note.hidden = drawn;
    set(note, drawn ? "" : `Of ${count(many)} members ${DRAWN_MAX} are shown; a graph is drawn for at most as many.`);
}

function showGroups(state) {
    list($("groups"), state.groups, makeGroup, fillGroup);
}
