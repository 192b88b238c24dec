// Colour maps, each as 17 colours at even steps. Values of matplotlib: magma, viridis, cividis (CC0); Oranges, Greys,
// RdBu, PuOr (ColorBrewer, Apache-2.0). All are readable by colour-blind readers; the first stands for the lowest value.
const MAPS = {
  Oranges: "fff5ebfeeddcfee6cefddbb8fdd0a2fdbf86fdae6afd9d53fd8c3bf77a27f16813e4580ad84801be3f02a53603912e047f2704",
  magma: "0000040a08221d114736106b51127c6a1c818326819c2e7fb73779d0416fe75263f56b5cfc8961fea772fec488fde2a3fcfdbf",
  viridis: "44015448186a472d7b4240863b528b33638d2c728e26828e21918c1fa08828ae803fbc735ec96284d44baddc30d8e219fde725",
  cividis: "00224e002e6a1a386f32436d434e6c535a6d61656f6f70737d7c788c88789b9476aba072bcae6ccdbb63dec958f0d846fee838",
  Greys: "fffffff7f7f7f0f0f0e4e4e4d9d9d9cbcbcbbdbdbda9a9a99595958484847272726262625151513a3a3a242424111111000000",
};
const DIVERGING = {
  RdBu: "0530611752902a71b23f8ec06bacd19bc9e0c2ddece0ecf3f7f6f6fbe5d8fbccb4f5aa89e48066d05548ba2832930e2667001f",
  PuOr: "2d004b4518715f3a917b6aa89990bfb7b1d5cfcfe5e4e5f0f7f7f6fce8cdfed59ffdbc6bee9b39d97b12bd61099e4c077f3b08",
};

function colourStops(name) {
  const text = MAPS[name] || DIVERGING[name];
  return text.match(/.{6}/g).map((hex) => "#" + hex);
}

function rgbAt(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  const part = place - below;
  const [a, b] = [stops[below], stops[below + 1]].map((hex) => parseInt(hex.slice(1), 16));
  return [16, 8, 0].map((shift) => Math.round(((a >> shift) & 255) * (1 - part) + ((b >> shift) & 255) * part));
}

function colourAt(stops, share) {
  return "rgb(" + rgbAt(stops, share).join(",") + ")";
}

// Whether white text is easier to read on a colour than black text (relative luminance of WCAG).
function isDark(rgb) {
  const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b < 0.18;
}

// Frames of gold links: blue on maps that are light where little is, bright cyan on maps that are dark there.
function overlayColours(stops, diverging) {
  const dark = !diverging && isDark(rgbAt(stops, 0));
  return dark ? { gold: "#4fd8ff", casing: "#001018", dot: "#ffffff", ring: "#000000" }
    : { gold: "#005f9e", casing: "#ffffff", dot: "#111111", ring: "#ffffff" };
}
