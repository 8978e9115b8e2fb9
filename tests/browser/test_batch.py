"""Many recordings at once."""

import csv as tables
import io
import json
import threading

import numpy as np
import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.conftest import choose, csv
from tests.helpers.ecgs import ecg, wfdb_record
from tests.helpers.page_gateway import table


def some(count: int) -> list[FilePayload]:
    return [csv(f"{n:02d}.csv", table(ecg(rate=100.0, seed=n), 100.0)) for n in range(count)]


def done(page: Page, count: int):
    expect(page.locator("#batch-count")).to_contain_text(f"{count} of {count} done", timeout=30_000)


def test_many_recordings_are_submitted_and_followed(page: Page, gateway):
    choose(page, *some(9))
    expect(page.locator("#view-batch")).to_be_visible()
    done(page, 9)
    assert gateway.submitted == 9
    row = page.locator("#batch-table .table-body [role=row]").first
    expect(row).to_contain_text("00.csv")
    expect(row).to_contain_text("answered")
    expect(row).to_contain_text("SR\u00a091\u00a0%")
    expect(row).to_contain_text("noisy")
    expect(page.locator("#batch-stop")).to_be_hidden()


def test_a_busy_server_is_given_time(page: Page, pages, gateway):
    pages.expected += ["status of 429"]
    gateway.refusals = 3
    choose(page, *some(5))
    done(page, 5)
    assert gateway.submitted == 5


def test_a_broken_stream_goes_on_from_its_cursor(page: Page, gateway):
    gateway.breaks = 1
    choose(page, *some(3))
    done(page, 3)
    assert gateway.cursors[-1] == "5-0"


def test_jobs_that_are_missing_fail_and_the_others_are_followed(page: Page, pages, gateway):
    pages.expected += ["status of 404"]
    gateway.forgotten = {"job-2", "job-7"}
    choose(page, *some(9))
    done(page, 9)
    expect(page.locator("#batch-count")).to_contain_text("2 failed")
    page.select_option("#batch-state", "FAILED")
    rows = page.locator("#batch-table .table-body [role=row]")
    expect(rows.filter(has_text="no such job")).to_have_count(2)
    expect(page.locator("#batch-trouble")).to_be_empty()


def test_a_job_that_goes_missing_while_it_is_followed_fails(page: Page, pages):
    pages.expected += ["status of 404"]
    error = {"error": {"reason": "JOB_NOT_FOUND", "message": "expired", "http_status": 404}}
    stream = f"event: error\ndata: {json.dumps(error)}\n\n"
    how = {"content_type": "text/event-stream", "body": stream}
    page.route("**/v1/jobs:watch", lambda route: route.fulfill(**how), times=1)
    page.route("**/v1/jobs/job-1", lambda route: route.fulfill(status=404, json=error))
    choose(page, *some(3))
    done(page, 3)
    expect(page.locator("#batch-count")).to_contain_text("1 failed")
    expect(page.locator("#batch-trouble")).to_be_empty()


def test_a_watch_that_is_refused_for_good_stops_the_batch(page: Page, pages):
    pages.expected += ["status of 403"]
    error = {"error": {"reason": "PERMISSION_DENIED", "message": "not with this key"}}
    page.route("**/v1/jobs:watch", lambda route: route.fulfill(status=403, json=error))
    choose(page, *some(3))
    trouble = page.locator("#batch-trouble")
    expect(trouble).to_have_text(
        "Stopped, since the server does not say what becomes of open jobs: not with this key"
    )
    expect(page.locator("#batch-stop")).to_be_hidden()
    page.unroute("**/v1/jobs:watch")
    choose(page, *some(2))
    expect(trouble).to_be_empty()
    done(page, 2)


def test_a_wfdb_header_and_its_signals_are_one_recording(page: Page, tmp_path, gateway):
    for number in range(2):
        wfdb_record(tmp_path, ecg(seed=number), name=f"rec{number}")
    (tmp_path / "RECORDS").write_text("rec0\nrec1\n")
    page.set_input_files("#files", sorted(tmp_path.glob("[rR]*")))
    done(page, 2)
    expect(page.locator("#batch-count")).to_contain_text("1 other files passed over")
    assert gateway.submitted == 2


@pytest.mark.parametrize(
    ("files", "found"),
    [
        # What a header names goes with it, whatever its ending, beside what has its stem.
        (
            {"r.hea": "r.dat r.xyz", "r.dat": "", "r.xyz": ""},
            [["r.hea", "r.dat", "r.xyz"]],
        ),
        (
            {"r.hea": "r.dat r_2.dat", "r.dat": "", "r_2.dat": "", "q.hea": "q.dat", "q.dat": ""},
            [["q.hea", "q.dat"], ["r.hea", "r.dat", "r_2.dat"]],
        ),
        ({"r.hea": "old.dat", "r.dat": "", "s.csv": ""}, [["r.hea", "r.dat"], ["s.csv"]]),
        # Folders of where it was written do not count, and those of where it lies do.
        (
            {"a/r.hea": r"C:\x\d.dat ../e.dat", "a/d.dat": "", "a/e.dat": "", "e.dat": ""},
            [["r.hea", "d.dat", "e.dat"], ["e.dat"]],
        ),
        # Letters of another case count where there is no other.
        (
            {"r.hea": "r.dat", "R.HEA": "R.DAT", "R.DAT": "", "r.dat": ""},
            [["R.HEA", "R.DAT"], ["r.hea", "r.dat"]],
        ),
        ({"R.HEA": "r.dat", "R.DAT": ""}, [["R.HEA", "R.DAT"]]),
        # No header is the signal of another, and one that names nothing is sent as it is.
        ({"a.hea": "b.hea", "b.hea": "~"}, [["a.hea"], ["b.hea"]]),
    ],
)
def test_a_wfdb_header_takes_the_signal_files_that_it_names(page: Page, files, found):
    contents = {}
    for path, named in files.items():
        lines = ["# made up", "r 12 500", *(f"{name} 16" for name in named.split())]
        contents[path] = "\n".join(lines)
    sorted_by_page = page.evaluate(
        """async (contents) => {
          const { sorted } = await import("/page/recordings.js");
          const files = Object.entries(contents).map(([path, text]) => (
            { path, file: new File([text], path.split("/").pop()) }
          ));
          const { recordings } = await sorted(files);
          return recordings.map((one) => one.files.map((file) => file.name));
        }""",
        contents,
    )
    assert sorted_by_page == found


def test_a_wfdb_recording_of_two_signal_files_is_answered(page: Page, tmp_path):
    header, signals = wfdb_record(tmp_path, ecg())
    lines = header.content.decode().splitlines()
    split = [line.replace("rec.dat", "rec_2.dat") for line in lines[7:]]
    samples = np.frombuffer(signals.content, "<i2").reshape(-1, 12)
    content = {
        "rec.hea": "\n".join([*lines[:7], *split]).encode(),
        "rec.dat": samples[:, :6].tobytes(),
        "rec_2.dat": samples[:, 6:].tobytes(),
    }
    choose(page, *(csv(name, part) for name, part in content.items()))
    expect(page.locator("#paper .ink .trace")).to_have_count(13)
    expect(page.locator("#hits .hit")).to_have_count(3)


def test_one_wfdb_recording_is_opened_at_once(page: Page, tmp_path):
    wfdb_record(tmp_path, ecg())
    page.set_input_files("#files", sorted(tmp_path.glob("rec.*")))
    expect(page.locator("#paper .ink .trace")).to_have_count(13)


def test_a_folder_is_walked(page: Page, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "records100" / name).mkdir(parents=True)
        wfdb_record(tmp_path / "records100" / name, ecg(), name="same")
    page.set_input_files("#folder", tmp_path / "records100")
    done(page, 2)
    names = page.locator("#batch-table .cell.recording bdi")
    expect(names).to_have_text(["records100/a/same.hea", "records100/b/same.hea"])


def test_a_dropped_recording_is_opened(page: Page, recording):
    page.evaluate(
        """(text) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([text], "dropped.csv"));
          const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
          document.dispatchEvent(new DragEvent("drop", how));
        }""",
        recording["buffer"].decode(),
    )
    expect(page.locator("#paper .ink .trace")).to_have_count(13)


def test_a_dropped_folder_is_walked_to_its_last_entry(page: Page):
    found = page.evaluate(
        """async () => {
          const { dropped } = await import("/page/recordings.js");
          const file = (name) => ({
            isFile: true,
            fullPath: `/top/${name}`,
            file: (give) => give(new File([], name.split("/").pop())),
          });
          const folder = (entries) => ({
            isDirectory: true,
            createReader: () => {
              const rest = [...entries];
              return { readEntries: (give) => give(rest.splice(0, 100)) }; // as Chromium does
            },
          });
          const inner = folder([file("deep/a.hea"), file("deep/a.dat")]);
          const top = folder([...Array.from({ length: 250 }, (_, n) => file(`${n}.csv`)), inner]);
          const items = [{ webkitGetAsEntry: () => top }];
          return (await dropped({ items, files: [] })).map((one) => one.path);
        }"""
    )
    assert len(found) == 252
    assert found[:2] + found[-2:] == ["top/0.csv", "top/1.csv", "top/deep/a.hea", "top/deep/a.dat"]


def test_rows_are_filtered_and_opened(page: Page, pages):
    pages.expected += ["status of 400"]
    choose(page, *some(3), csv("broken.csv", b"no ECG"))
    done(page, 4)
    rows = page.locator("#batch-table .table-body [role=row]")
    page.select_option("#batch-state", "FAILED")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("broken.csv")
    page.select_option("#batch-state", "")
    page.fill("#batch-text", "02.csv")
    expect(rows).to_have_count(1)
    page.fill("#batch-text", "")
    page.check("#batch-warnings")
    expect(rows).to_have_count(3)
    rows.first.get_by_role("button").click()
    expect(page.locator("#paper .ink .trace")).to_have_count(13)
    page.click("#to-batch")
    expect(rows).to_have_count(3)


def saved(page: Page, button: str) -> str:
    with page.expect_download() as download:
        page.click(button)
    return download.value.path().read_text("utf-8-sig")


def test_exports_hold_what_is_shown_and_no_formula(page: Page, pages):
    pages.expected += ["status of 400"]
    choose(page, *some(2), csv('=HYPERLINK("x").csv', b"no ECG"))
    done(page, 3)
    rows = list(tables.DictReader(io.StringIO(saved(page, "#batch-csv"), newline="")))
    assert [row["recording"] for row in rows] == ["00.csv", "01.csv", '\'=HYPERLINK("x").csv']
    assert rows[0]["state"] == "SUCCEEDED"
    assert rows[0]["predictions"] == "SR 0.91; AFIB 0.20"
    page.select_option("#batch-state", "SUCCEEDED")
    lines = [json.loads(line) for line in saved(page, "#batch-jsonl").splitlines()]
    assert [line["recording"] for line in lines] == ["00.csv", "01.csv"]
    assert lines[0]["disclaimer"] == "RESEARCH USE ONLY"
    assert lines[0]["warnings"] == ["LEAD_NOISY", "LOW_RATE"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", '"\'=1+1"'),
        ("+1", '"\'+1"'),
        ("@a", '"\'@a"'),
        ("\t=1", '"\'\t=1"'),
        ("-1", '"\'-1"'),
        (" =1", '"\' =1"'),
        (-0.5, "-0.5"),
        ('a"b', '"a""b"'),
        ("a\nb", '"a\nb"'),
        (None, ""),
    ],
)
def test_a_cell_is_no_formula(page: Page, value, written):
    script = "async (value) => (await import('/page/export.js')).cell(value)"
    assert page.evaluate(script, value) == written


def test_of_many_thousand_rows_only_those_in_sight_are_elements(page: Page):
    page.evaluate(
        """async () => {
          const { WindowedTable } = await import("/page/table.js");
          const place = document.getElementById("main");
          const columns = [{ name: "recording", words: () => "n", cell: (row) => String(row.n) }];
          window.made = new WindowedTable(place, columns, () => {});
          window.made.show(Array.from({ length: 20000 }, (_, n) => ({ n })));
        }"""
    )
    rows = page.locator("main > .table-box .table-body [role=row]")
    expect(rows.first).to_contain_text("0")
    assert rows.count() < 60
    page.locator("main > .table-box").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    expect(rows.last).to_contain_text("19999")
    assert rows.count() < 60


@pytest.fixture
def rows(page: Page) -> Locator:
    """A table of three rows that a script changes: `window.made` with `window.all`."""
    page.evaluate(
        """async () => {
          const { WindowedTable } = await import("/page/table.js");
          const column = (name) => ({ name, words: () => name, cell: (row) => row[name] });
          const place = document.getElementById("main");
          window.chosen = [];
          const take = (row) => window.chosen.push(row.recording);
          window.made = new WindowedTable(place, [column("recording"), column("state")], take);
          window.all = ["a", "b", "c"].map((recording) => ({ recording, state: "open" }));
          window.made.show(window.all);
        }"""
    )
    rows = page.locator("main > .table-box .table-body [role=row]")
    expect(rows).to_have_count(3)
    return rows


def test_the_focus_stays_with_a_recording_until_its_row_leaves(page: Page, rows: Locator):
    rows.nth(1).get_by_role("button").focus()
    page.evaluate("window.all[1].state = 'answered'; window.made.show(window.all.slice(1))")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("answered")
    expect(rows.first).to_have_attribute("aria-rowindex", "2")
    page.keyboard.press("Enter")
    assert page.evaluate("window.chosen") == ["b"]
    page.evaluate("window.made.show(window.all.slice(2))")
    expect(rows).to_have_count(1)
    expect(page.locator("main > .table-box")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("window.chosen") == ["b"]
    page.evaluate("window.made.show(window.all)")
    expect(rows.get_by_role("button")).to_have_text(["a", "b", "c"])


def test_a_press_chooses_its_row_though_the_table_changes_meanwhile(page: Page, rows: Locator):
    rows.first.get_by_role("button").hover()
    page.mouse.down()
    page.evaluate("window.all[0].state = 'answered'; window.made.show(window.all)")
    expect(rows.first).to_contain_text("answered")
    page.mouse.up()
    assert page.evaluate("window.chosen") == ["a"]


def test_it_is_stopped(page: Page, gateway):
    gateway.going_on.clear()
    threading.Timer(3, gateway.going_on.set).start()
    choose(page, *some(8))
    page.click("#batch-stop")
    expect(page.locator("#batch-stop")).to_be_hidden()
    gateway.going_on.set()
    page.wait_for_timeout(300)
    assert gateway.submitted <= 4
