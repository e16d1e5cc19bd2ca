// The table of what openclaw's first.mjs trusts: its network without the gateway. `around` stands before
// this text (the journey puts it there, from client/catalog/openclaw.toml).
import assert from "node:assert/strict";

const HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
// An address as /proc/net/route writes it: hexadecimal, in the processor's order (little-endian here).
const hex = (address) =>
  address.split(".").reverse().map((byte) => Number(byte).toString(16).padStart(2, "0").toUpperCase()).join("");
const line = (to, gateway, mask) =>
  "eth0\t" + hex(to) + "\t" + hex(gateway) + "\t0003\t0\t0\t0\t" + hex(mask) + "\t0\t0\t0\n";
const standard = (gateway) => line("0.0.0.0", gateway, "0.0.0.0");
const direct = (network, mask) => line(network, "0.0.0.0", mask);

const table = {
  "a tenant's network, the gateway first": [
    standard("10.64.0.1") + direct("10.64.0.0", "255.255.255.192"),
    "10.64.0.0/32 10.64.0.2/31 10.64.0.4/30 10.64.0.8/29 10.64.0.16/28 10.64.0.32/27",
  ],
  "the gateway in the middle": [
    standard("10.64.0.97") + direct("10.64.0.64", "255.255.255.192"),
    "10.64.0.96/32 10.64.0.98/31 10.64.0.100/30 10.64.0.104/29 10.64.0.112/28 10.64.0.64/27",
  ],
  "addresses above 128": [
    direct("192.168.200.0", "255.255.255.252") + standard("192.168.200.2"),
    "192.168.200.3/32 192.168.200.0/31",
  ],
  "a second network, which nobody comes through": [
    standard("10.64.0.1") + direct("10.64.0.0", "255.255.255.252") + direct("172.18.0.0", "255.255.0.0"),
    "10.64.0.0/32 10.64.0.2/31",
  ],
  "no way out": [direct("10.64.0.0", "255.255.255.192"), ""],
  "no network at all": ["", ""],
};
for (const [title, [routes, expected]] of Object.entries(table)) {
  assert.equal(around(HEAD + routes).join(" "), expected, title);
}
console.log(Object.keys(table).length + " cases hold");
