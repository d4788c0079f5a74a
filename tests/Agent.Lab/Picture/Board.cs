using System.Text.Json.Nodes;

namespace Agent.Lab.Picture;

/// <summary>A query of a panel, and how its series are called.</summary>
/// <param name="Expression">PromQL with Grafana's variables.</param>
/// <param name="Legend">Text with {{labels}}; empty: the labels.</param>
internal sealed record BoardQuery(string Expression, string Legend);

/// <summary>A panel of a dashboard; places are in 24 columns.</summary>
internal sealed record BoardPanel(
    string Title, bool IsNumber, string Unit, int Column, int Row, int Columns, int Rows,
    IReadOnlyList<BoardQuery> Queries);

/// <summary>A Grafana dashboard, as far as a picture needs it.</summary>
internal sealed record Board(string Title, IReadOnlyList<BoardPanel> Panels)
{
    internal static Board Read(string path)
    {
        JsonNode board = JsonNode.Parse(File.ReadAllText(path))!;
        return new Board((string)board["title"]!, [.. board["panels"]!.AsArray().Select(node => PanelOf(node!))]);
    }

    private static BoardPanel PanelOf(JsonNode panel)
    {
        JsonNode place = panel["gridPos"]!;
        return new BoardPanel(
            (string)panel["title"]!, (string?)panel["type"] == "stat",
            (string?)panel["fieldConfig"]?["defaults"]?["unit"] ?? "short",
            (int)place["x"]!, (int)place["y"]!, (int)place["w"]!, (int)place["h"]!,
            [.. panel["targets"]!.AsArray().Select(target =>
                new BoardQuery((string)target!["expr"]!, (string?)target["legendFormat"] ?? ""))]);
    }
}

/// <summary>What one query answered for one set of labels.</summary>
/// <param name="Name">As the legend has it.</param>
/// <param name="Points">Seconds since the beginning, and values; in their order.</param>
internal sealed record BoardSeries(string Name, IReadOnlyList<(double Seconds, double Value)> Points);
