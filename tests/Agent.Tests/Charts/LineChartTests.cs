using System.Xml.Linq;
using Agent.Charts;

namespace Agent.Tests.Charts;

/// <summary>What reports draw.</summary>
public class LineChartTests
{
    private static readonly Series Straight = new("a < b", [(10, 0.001), (100, 0.01), (1000, 0.1)]);

    [Fact]
    public void A_power_law_is_a_straight_line_on_logarithmic_axes()
    {
        XElement svg = XElement.Parse(
            LineChart.Draw("T & U", Axis.OfNumbers("rules"), Axis.OfTime("compile"), [Straight]));
        double[] heights = [.. svg.Descendants().Where(one => one.Name.LocalName == "circle")
            .Select(dot => (double)dot.Attribute("cy")!)];
        Assert.Equal(3, heights.Length);
        Assert.Equal(heights[0] - heights[1], heights[1] - heights[2], 1.0);
        string[] texts = [.. svg.Descendants().Where(one => one.Name.LocalName == "text").Select(text => text.Value)];
        Assert.Contains("a < b", texts);
        Assert.Contains("T & U", texts);
        Assert.Contains("1,000", texts);
        Assert.Contains("1 ms", texts);
        Assert.Contains("100 ms", texts);
    }

    [Fact]
    public void Steps_go_along_and_up_only()
    {
        Series stepped = Straight with { IsStepped = true, Points = [(0.1, 0.5), (1, 1)] };
        string svg = LineChart.Draw("t", Axis.OfTime("t"), Axis.OfParts("p"), [stepped]);
        Assert.Contains("V34.0\"", svg);
        Assert.DoesNotContain("circle", svg);
        Assert.Contains("75 %", svg);
    }

    [Fact]
    public void A_linear_axis_begins_at_zero_and_reaches_the_data()
    {
        string svg = LineChart.Draw("t", Axis.OfNumbers("x", isLogarithmic: false),
            Axis.OfNumbers("y", isLogarithmic: false), [new Series("s", [(1, 3), (2, 37)])]);
        Assert.Contains(">0</text>", svg);
        Assert.Contains(">40</text>", svg);
    }

    [Fact]
    public void Nothing_has_no_place_on_a_logarithmic_axis() => Assert.Throws<ArgumentException>(() => LineChart.Draw(
        "t", Axis.OfNumbers("x"), Axis.OfNumbers("y"), [new Series("s", [(1, 0)])]));

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1.5)]
    public void An_exponent_is_found_again(double exponent)
    {
        (double X, double Y)[] points = [.. ((double[])[10, 70, 1000]).Select(x => (x, 3 * Math.Pow(x, exponent)))];
        Assert.Equal(exponent, Growth.Exponent(points), 9);
    }

    [Fact]
    public void One_size_says_nothing_of_growth() =>
        Assert.Throws<ArgumentException>(() => Growth.Exponent([(5, 1), (5, 2)]));
}
