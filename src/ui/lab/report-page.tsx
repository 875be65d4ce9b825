/** The entry of the self-contained report file: reads the data that stand in it and shows them. Nothing is fetched. */
import '../styles/tokens.css';
import './report.css';
import { render } from 'preact';
import { decodeReport } from './report-data.ts';
import { Report } from './report.tsx';

const root = document.getElementById('report');
const data = document.getElementById('data')?.textContent ?? '';
if (root !== null) render(<Report data={decodeReport(data)} />, root);
