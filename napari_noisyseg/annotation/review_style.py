"""The style sheet of the review's page: readable in light and in dark, on paper and on a telephone."""

STYLE = """
:root{color-scheme:light dark;--ink:#1d2329;--soft:#5b6570;--page:#f6f7f8;--card:#fff;--line:#d9dee3;
--given:#e69f00;--proposed:#2f9bea}
@media (prefers-color-scheme:dark){:root{--ink:#e8ebee;--soft:#9aa4ae;--page:#15181b;--card:#1e2226;
--line:#343a40}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 18px;overflow-wrap:anywhere}
h2{font-size:19px;margin:34px 0 8px}
h3{font-size:15px;margin:0;font-weight:600}
p{margin:4px 0 10px;color:var(--soft)}
.figures{display:flex;flex-wrap:wrap;gap:10px}
.figures div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 16px}
.figures b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.figures span{color:var(--soft);font-size:13px}
.next{columns:3 200px;column-gap:40px;margin:0;padding-left:24px}
.next li{overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(380px,1fr));gap:14px}
article{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px;
break-inside:avoid;min-width:0}
article h3 b{display:inline-block;min-width:28px;color:var(--soft);font-weight:600}
.where{margin:0 0 8px;color:var(--ink);overflow-wrap:anywhere}
.panels{display:grid;grid-template-columns:repeat(3,1fr);gap:4px}
.panels svg{width:100%;height:auto;display:block;background:#888;border-radius:3px}
.facts{margin:8px 0 0;font-size:12.5px;font-variant-numeric:tabular-nums}
path{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.halo{stroke:#000;stroke-opacity:.55;stroke-width:4}
.given{stroke:var(--given);stroke-width:2}
.proposed{stroke:var(--proposed);stroke-width:2;stroke-dasharray:5 3}
.thin{stroke:#000;stroke-width:1}
.legend{display:flex;flex-wrap:wrap;gap:8px;align-items:center}
.legend svg{width:40px;height:10px}
.legend i{display:inline-block;width:60px;height:10px;margin-left:16px;border-radius:3px;
background:linear-gradient(90deg,#d55e00,#f7f4ee,#005a96)}
table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--line);
font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 10px;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{font-size:13px;color:var(--soft);font-weight:600}
.bar{position:relative;min-width:120px}
.bar span{position:absolute;left:0;top:3px;bottom:3px;background:#2f9bea;opacity:.25;
border-radius:0 3px 3px 0}
.bar em{position:relative;font-style:normal}
@media (max-width:480px){.cards{grid-template-columns:1fr}}
@media print{body{background:#fff}article{border-color:#999}}
"""
