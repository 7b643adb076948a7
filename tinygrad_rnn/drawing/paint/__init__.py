"""From positions to a file: one scene, written as SVG, HTML, PNG, PDF and DOT."""
